"""Addresses of this machine."""

from typing import Final

_EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - compared, not bound


def reachable(host: str) -> str:
    """Where a client on the same machine reaches what listens on `host`."""
    return _EVERYWHERE.get(host, host)


def http_url(host: str, port: int) -> str:
    """The same as a URL, without a path."""
    host = reachable(host)
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
