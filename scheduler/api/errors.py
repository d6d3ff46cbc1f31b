"""What HTTP itself refuses, before the board is asked anything."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

_NONE: Final[Mapping[bytes, bytes]] = MappingProxyType({})


class HttpError(Exception):
    """The request's own fault; answered with this status, code and message."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[bytes, bytes] = _NONE) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers


class HungUpError(Exception):
    """The client is gone; there is nobody to answer."""
