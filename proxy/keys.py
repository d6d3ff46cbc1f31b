"""Whose key is sent upstream, whose keys are known here, and what is kept out of sight of ours.

Client keys are known by their SHA-256 only. A client's key is sent on only where there is none of ours.
"""

import hashlib
from dataclasses import dataclass, replace

from proxy.attempt import Stored
from proxy.core.band import Band
from proxy.encoding import Decoder
from proxy.headers import first
from proxy.refusals import Refusal
from proxy.settings import Settings
from shared.asgi import Headers


@dataclass(frozen=True, slots=True)
class KnownClient:
    """One that may call: its name, and the most urgent band that is heard from it."""

    name: str
    max_band: Band


ANYBODY = KnownClient("", Band.URGENT)
"""Where no clients are listed."""

_UNKNOWN = Refusal(401, "missing_key", "only known clients may call, with a key of theirs")


class Keys:
    """Reads the settings once; holds nothing of any request."""

    def __init__(self, settings: Settings) -> None:
        self._own = settings.own_key.get_secret_value().encode("ascii")
        self._clients = {
            client.key_sha256: KnownClient(client.name, Band.parse(client.max_priority))
            for client in settings.clients
        }

    @property
    def own_authorization(self) -> bytes | None:
        """The header that carries a key of ours, if there is one."""
        return b"Bearer " + self._own if self._own else None

    def client(self, headers: Headers) -> KnownClient | Refusal:
        """Who calls, as far as that is asked."""
        if not self._clients:
            return ANYBODY
        key = (bearer(headers) or b"").removeprefix(b"Bearer ")
        return self._clients.get(hashlib.sha256(key).hexdigest(), _UNKNOWN)

    def authorization(self, headers: Headers) -> bytes | None:
        """What is sent upstream: our key, else the client's own."""
        return self.own_authorization or bearer(headers)

    def account(self, headers: Headers) -> str:
        """Whose key is sent, told apart without being known; empty where it is always ours."""
        return "" if self._own else hashlib.sha256(bearer(headers) or b"").hexdigest()

    def without_ours(self, answer: Stored) -> Stored:
        """An error without our key, should the upstream quote it, compressed or not."""
        if not self._own:
            return answer
        body = Decoder(first(answer.headers, b"content-encoding")).feed(answer.body)
        if self._own not in body:
            return answer
        plain = [header for header in answer.headers if header[0] != b"content-encoding"]
        return replace(answer, headers=plain, body=body.replace(self._own, b"****"))


def bearer(headers: Headers) -> bytes | None:
    """The client's own key, as it sent it."""
    scheme, _, key = (first(headers, b"authorization") or b"").partition(b" ")
    return b"Bearer " + key.strip() if scheme.lower() == b"bearer" and key.strip() else None
