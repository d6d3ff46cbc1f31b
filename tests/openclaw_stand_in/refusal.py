"""How the gateway says no."""


class RefusedError(Exception):
    """The gateway answers with an error."""

    def __init__(self, message: str, code: str = "INVALID_REQUEST") -> None:
        super().__init__(message)
        self.code = code
