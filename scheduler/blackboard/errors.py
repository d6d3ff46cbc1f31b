"""What can go wrong with the board itself, whatever was asked of it.

What the rules refuse is `scheduler.core.errors.Refused`. The messages are for people and hold no password.
"""


class BoardError(Exception):
    """The board did not do it, and the rules have nothing to do with it."""


class BoardUnavailable(BoardError):  # noqa: N818 - as `BoardBusy`: what it says of the board
    """It cannot be reached or written, its disk is full, or what is there is not our board.

    The operator acts: start the server, make room, or run a fitting release. Where the server was lost in the
    middle of a write, it may have been written: look before you repeat.
    """


class BoardBusy(BoardError):  # noqa: N818 - a busy board is no error
    """Others held it for longer than we wait. Try again; nothing was changed."""


class BoardBroken(BoardUnavailable):
    """The disk fails, or the file is damaged: this process must not go on writing.

    Whether the last write arrived is unknown. The operator looks at the disk, then restores a backup.
    """
