"""The list of models, from a cache: it costs no slot.

Whatever carries the key spends a slot; so the list is asked for without the key, which NVIDIA allows. Only an
upstream that insists on a key is asked again with it, as an ordinary request through the gate. Many that ask
at once wait for one answer.
"""

from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

import msgspec
import structlog
import trio

from proxy.attempt import Stored, attempt
from proxy.core.band import Band
from proxy.core.classify import Meaning
from proxy.core.decisions import KnownUnavailable
from proxy.gate import Ask, Gate, Grant
from proxy.metrics import Metrics
from proxy.refusals import Refusal, broken_off, no_answer, turned_away
from proxy.upstream import BrokenOffError, Failure, Outgoing, Upstream

RETRY_SECONDS: Final = 5.0
"""After a failure the upstream is left alone for this long."""

LONGEST_SECONDS: Final = 30.0
"""For the whole list: those that ask meanwhile wait for this one answer."""

MOST_BYTES: Final = 8 << 20

_PATH: Final = b"/v1/models"
_JSON: Final = [(b"content-type", b"application/json")]

_log = structlog.get_logger()


class _Entry(msgspec.Struct):
    id: str


class _List(msgspec.Struct):
    data: list[msgspec.Raw]


@dataclass(frozen=True, slots=True)
class ModelList:
    """The list as it came, and each of its entries by id, both as JSON."""

    body: bytes
    by_id: dict[str, bytes]

    @classmethod
    def parse(cls, body: bytes) -> "ModelList":
        """Raises msgspec.MsgspecError for anything but a list of models."""
        entries = msgspec.json.decode(body, type=_List).data
        return cls(body, {msgspec.json.decode(raw, type=_Entry).id: bytes(raw) for raw in entries})


def asks_for_models(method: str, path: bytes) -> bool:
    """Is this answered from the cache?"""
    return method in {"GET", "HEAD"} and (path == _PATH or path.startswith(_PATH + b"/"))


class ModelsCache:
    """Owner of the list."""

    def __init__(
        self,
        upstream: Upstream,
        gate: Gate,
        metrics: Metrics,
        *,
        ttl_seconds: float,
    ) -> None:
        self._upstream = upstream
        self._gate = gate
        self._metrics = metrics
        self._ttl_seconds = ttl_seconds
        self._asking = trio.Lock()
        self._known: ModelList | Stored | Refusal | None = None
        self._fresh_until = float("-inf")

    async def answer(self, path: bytes, authorization: bytes | None) -> Stored | Refusal:
        """What `GET` of this path is answered, in JSON."""
        known = await self.get(authorization)
        if not isinstance(known, ModelList):
            return known
        if path == _PATH:
            return Stored(200, _JSON, known.body)
        name = unquote_to_bytes(path.removeprefix(_PATH + b"/")).decode("utf-8", "replace")
        if (entry := known.by_id.get(name)) is None:
            return Refusal(404, "not_found", "the upstream does not list a model of that name")
        return Stored(200, _JSON, entry)

    async def get(self, authorization: bytes | None) -> ModelList | Stored | Refusal:
        """The list, or why not. `authorization` is sent only where nobody is shown the list without one."""
        if (known := self._fresh()) is not None:
            self._metrics.saved("models_cache")
            return known
        async with self._asking:
            if (known := self._fresh()) is not None:
                self._metrics.saved("single_flight")
                return known
            fetched = await self._fetch_in_time(authorization)
            if isinstance(fetched, ModelList):
                self._keep(fetched, self._ttl_seconds)
                return fetched
            told = self._known if isinstance(self._known, ModelList) else fetched  # better stale than none
            if not (
                isinstance(told, Stored) and told.status in {401, 403}
            ):  # one key says nothing of another
                self._keep(told, RETRY_SECONDS)
            return told

    def _keep(self, known: ModelList | Stored | Refusal, seconds: float) -> None:
        self._known = known
        self._fresh_until = trio.current_time() + seconds

    def _fresh(self) -> ModelList | Stored | Refusal | None:
        return self._known if trio.current_time() < self._fresh_until else None

    async def _fetch_in_time(self, authorization: bytes | None) -> ModelList | Stored | Refusal:
        with trio.move_on_after(LONGEST_SECONDS):
            return await self._fetch(authorization)
        return no_answer(Failure(Meaning.SILENT, "the list of models"))

    async def _fetch(self, authorization: bytes | None) -> ModelList | Stored | Refusal:
        result = await attempt(self._upstream, self.question(None), _nothing)
        if isinstance(result.answer, Stored) and result.answer.status in {401, 403} and authorization:
            ask = Ask(Band.HIGH, "models", "", "", trio.current_time() + RETRY_SECONDS)
            grant = await self._gate.admit(ask)
            if not isinstance(grant, Grant):
                assert not isinstance(grant, KnownUnavailable), "no model was asked for"
                return turned_away(grant)
            try:
                result = await attempt(self._upstream, self.question(authorization), grant.written)
            except BaseException:
                self._gate.attempt_lost(grant)
                raise
            finally:
                grant.unsent()  # unless something was written
                grant.ended()
            self._gate.learn(grant, result.meaning, result.retry_after, succeeded=result.succeeded)
        match result.answer:
            case Failure():
                return no_answer(result.answer)
            case Stored():
                return result.answer
            case answer:
                try:
                    return _parse(await answer.read(MOST_BYTES))
                except BrokenOffError as error:
                    return broken_off(silent=error.silent)
                finally:
                    await answer.aclose()

    def question(self, authorization: bytes | None) -> Outgoing:
        """The request for the list."""
        headers = [(b"host", self._upstream.host), (b"accept", b"application/json")]
        if authorization is not None:
            headers.append((b"authorization", authorization))
        return Outgoing("GET", b"/models", headers, b"")


def _parse(body: bytes) -> ModelList | Refusal:
    try:
        return ModelList.parse(body)
    except msgspec.MsgspecError:
        _log.warning("models_list_unusable", bytes=len(body))
        return Refusal(502, "upstream_unreachable", "the upstream's list of models cannot be read")


def _nothing() -> None:
    """No slot is spent, so nobody needs to know when it was written."""
