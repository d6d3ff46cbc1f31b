"""The errors that more than one package has to know by name."""


class StartError(Exception):
    """The process cannot start, and why is already said in words for the operator.

    Raised while starting, by whoever finds the obstacle; caught in one place, `__main__`, which prints
    `lines` to stderr, one problem each and nothing else (no traceback: it is not a fault of the program), and
    exits with `exit_code`: 2 for a wrong setting, 1 for an obstacle in the surroundings (a port taken, a
    directory held by another process).
    """

    def __init__(self, *lines: str, exit_code: int = 1) -> None:
        super().__init__("\n".join(lines))
        self.lines: tuple[str, ...] = lines
        self.exit_code = exit_code
