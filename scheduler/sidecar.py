"""Asks the sidecar how much of its budget is spare, and who waits for it.

The rule: a look does not fail and does not last. Whatever is wrong with the sidecar, or with what listens in
its place, is said in the view as an unknown capacity, and logged when it begins and when it is over.
"""

from dataclasses import dataclass
from datetime import datetime
from ssl import PROTOCOL_TLS_CLIENT, SSLContext, create_default_context
from typing import Final

import httpx
import structlog
import trio

from scheduler.core.capacity import (
    CallerActivity,
    Capacity,
    CapacityError,
    read_activities,
    read_capacity,
)

ANSWER_SECONDS: Final = 2.0
"""For each of the two questions, from connecting to the last byte. A neighbour answers in milliseconds."""
LONGEST_ANSWER_BYTES: Final = 1024 * 1024
"""The sidecar lists at most 500 callers, in about 150 kB."""

NOT_CONFIGURED: Final = "no sidecar is configured"
_TOO_SLOW: Final = f"the sidecar did not answer within {ANSWER_SECONDS:g} s"

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class SidecarView:
    """One look. Nobody is known to wait unless `capacity.known`."""

    capacity: Capacity
    activities: tuple[CallerActivity, ...] = ()


class _NoAnswerError(Exception):
    """No usable answer came; the message says what came instead, without quoting it."""


class Sidecar:
    """The sidecar at `url`, or none. Owner of its connections, and of whether it was there last time."""

    def __init__(self, url: str | None, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        """`url` without a path, as `http://127.0.0.1:9190`. `transport` replaces the network, for tests."""
        self._url = url.rstrip("/") if url else None
        # Without kept connections, because one that the other end closes meanwhile looks like a sidecar that
        # is away. Without a proxy of the environment: it could not reach this machine's loopback.
        self._client = httpx.AsyncClient(
            transport=transport,
            verify=_tls(self._url or ""),
            trust_env=False,
            follow_redirects=False,
            timeout=ANSWER_SECONDS,
            limits=httpx.Limits(max_keepalive_connections=0),
            headers={"accept": "application/json", "accept-encoding": "identity"},
        )
        self._away = False

    async def look(self) -> SidecarView:
        """Its capacity and its callers, both or neither."""
        if self._url is None:
            return SidecarView(Capacity.unknown(NOT_CONFIGURED))
        try:
            capacity = read_capacity(await self._get("/api/capacity"), _unix_seconds)
            activities = read_activities(await self._get("/api/agents"), _unix_seconds)
        except _NoAnswerError as error:
            return self._unknown(str(error))
        except CapacityError as error:
            return self._unknown(f"the sidecar's answer is not understood: {error}")
        if self._away:
            _log.info("sidecar_back")
        self._away = False
        return SidecarView(capacity, activities)

    async def aclose(self) -> None:
        """Close what is still open."""
        await self._client.aclose()

    async def _get(self, path: str) -> bytes:
        """The body of its answer. Raises _NoAnswerError."""
        body = bytearray()
        try:
            with trio.move_on_after(ANSWER_SECONDS) as patience:
                async with self._client.stream("GET", f"{self._url}{path}") as response:
                    if response.status_code != 200:
                        raise _NoAnswerError(f"the sidecar answered {path} with {response.status_code}")
                    # As it comes: a few compressed kilobytes can be gigabytes.
                    async for chunk in response.aiter_raw():
                        body += chunk
                        if len(body) > LONGEST_ANSWER_BYTES:
                            # To leave the loop would abandon the HTTP client's generators half-way.
                            patience.cancel()
        except httpx.TimeoutException as error:
            raise _NoAnswerError(_TOO_SLOW) from error
        except httpx.ConnectError as error:
            raise _NoAnswerError("the sidecar cannot be reached") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            # Never the text: it may quote what came, or the address with a password in it.
            raise _NoAnswerError(f"the sidecar did not answer properly ({type(error).__name__})") from error
        if len(body) > LONGEST_ANSWER_BYTES:
            raise _NoAnswerError(f"the sidecar's answer to {path} is longer than 1 MB")
        if patience.cancelled_caught:
            raise _NoAnswerError(_TOO_SLOW)
        return bytes(body)

    def _unknown(self, error: str) -> SidecarView:
        if not self._away:
            _log.warning("sidecar_away", error=error, consequence="the scheduler goes by its own limits")
        self._away = True
        return SidecarView(Capacity.unknown(error))

    def __repr__(self) -> str:
        if self._url is None:
            return f"<Sidecar, {NOT_CONFIGURED}>"
        return f"<Sidecar, {'away' if self._away else 'there'}>"


def _tls(url: str) -> SSLContext:
    """The system's certificates where they are needed; reading them takes 100 ms of the start."""
    return create_default_context() if url.startswith("https:") else SSLContext(PROTOCOL_TLS_CLIENT)


def _unix_seconds(text: str) -> float:
    """An RFC 3339 time as Unix seconds; raises ValueError."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time without a zone")
    return moment.timestamp()
