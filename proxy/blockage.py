"""Why a lane is no use for the time being: its key is refused, or nobody answers there.

Each reason is told once, at alert level, when it begins, and once when it has ended.
"""

from dataclasses import dataclass
from typing import Final

import structlog

from proxy.core.classify import Meaning
from shared import clock

UPSTREAM_DOWN: Final = "upstream_down"
REASONS: Final = (str(Meaning.KEY_REJECTED), str(Meaning.NO_CREDITS), UPSTREAM_DOWN)

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Blocked:
    """`since` is Unix time."""

    reason: str
    since: float


class Blockage:
    """What blocks one lane. Owner of its state: the lane's gate."""

    def __init__(self) -> None:
        self._key: Blocked | None = None
        self._down: Blocked | None = None

    def note_key(self, meaning: Meaning, *, succeeded: bool) -> None:
        """What an answer to our own key says of the key: rejected, out of credits, or fine again."""
        if meaning in {Meaning.KEY_REJECTED, Meaning.NO_CREDITS}:
            if self._key is None or self._key.reason != meaning:
                self._key = _begun(str(meaning))
        elif succeeded and self._key is not None:
            _tell_end(self._key)
            self._key = None

    def note_upstream(self, *, broken: bool) -> None:
        """Has every connection failed lately?"""
        if broken and self._down is None:
            self._down = _begun(UPSTREAM_DOWN)
        elif not broken and self._down is not None:
            _tell_end(self._down)
            self._down = None

    def reasons(self, *, refusing: bool) -> list[Blocked]:
        """What blocks it now, the weightiest first. A broken upstream does only while it is `refusing`.

        When it is time to try it again somebody has to ask; a scheduler that starts nobody while a lane is
        blocked would wait for ever.
        """
        found = (self._down if refusing else None, self._key)
        return [blocked for blocked in found if blocked is not None]


def _begun(reason: str) -> Blocked:
    _log.critical("lane_blocked", reason=reason)
    return Blocked(reason, clock.wall())


def _tell_end(blocked: Blocked) -> None:
    _log.warning("lane_unblocked", reason=blocked.reason)
