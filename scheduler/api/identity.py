"""Who asks: a reader, the holder of a claim, or an operator.

The rule: a token is either good or refused. One that is wrong is never taken for none, and which of its
characters were right cannot be measured. Whether a claim still holds is the board's to say, at each write.
"""

import hmac
import ipaddress
from collections.abc import Sequence
from typing import Final

from scheduler.api.errors import HttpError
from scheduler.core.claims import parse_token
from scheduler.core.errors import Refused
from scheduler.verbs import Caller, Holder, Operator, Reader

OPERATOR: Final = "admin"
"""How events call whoever shows the admin token and says no other name."""

_CHALLENGE: Final = {b"www-authenticate": b'Bearer realm="clawpace"'}


class Identity:
    """Knows the admin token, and whether this port is for this machine alone."""

    def __init__(self, admin_token: str, *, listen_host: str) -> None:
        if not admin_token:
            raise ValueError("an empty admin token would let everybody in")
        self._admin_token = admin_token.encode()
        self.reads_are_open = is_loopback(listen_host)

    def caller(self, authorization: Sequence[str]) -> Caller:
        """By the values of the `Authorization` header. Raises HttpError (401) for a token that is wrong."""
        if not authorization:
            return Reader()
        scheme, _, token = authorization[0].partition(" ")
        token = token.strip()
        if len(authorization) == 1 and scheme.lower() == "bearer":
            if hmac.compare_digest(token.encode("latin-1"), self._admin_token):
                return Operator(OPERATOR)
            try:
                return Holder(parse_token(token))
            except Refused:
                pass
        raise unauthorized("This is neither the admin token nor a claim token.")

    def __repr__(self) -> str:
        return f"<Identity, reads are {'open' if self.reads_are_open else 'for those with a token'}>"


def unauthorized(message: str) -> HttpError:
    """401; where the admin token is, the documentation says, and a stranger need not know."""
    return HttpError(401, "unauthorized", message, _CHALLENGE)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a port there. A name that only a resolver knows does not count."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
