"""What is scripted to go wrong, and for whom. Pure: asks and counts, plays nothing (``plays`` does).

Two ways to script a fault. By the model's name, for a client that cannot reach the control endpoints:
``fault/reset`` always, ``fault/429-2`` for the first two requests that name it. By ``POST /_sim/fault``, for
any model.
"""

import re
from collections import Counter
from enum import StrEnum
from typing import Annotated

import msgspec

PREFIX = "fault/"


class Kind(StrEnum):
    """Every fault there is; ``docs/simulator.md`` says what each looks like on the wire."""

    TOO_MANY = "429"
    RETRY_AFTER = "retry-after"
    WORKERS = "503-workers"
    WORKERS_IN_STREAM = "worker-error-in-stream"
    WORKERS_AS_STREAM = "worker-error-as-stream"
    ERROR_500 = "500"
    ERROR_502 = "502"
    ERROR_504 = "504"
    UNAUTHORIZED = "401"
    NO_CREDITS = "402"
    NO_FUNCTION = "404"
    END_OF_LIFE = "410"
    DEGRADED = "400-degraded"
    RESET = "reset"
    RESET_IN_STREAM = "reset-in-stream"
    SILENCE = "silence"
    SILENCE_IN_STREAM = "silence-in-stream"
    HALF_CLOSE = "half-close"
    HALF_CLOSE_IN_STREAM = "half-close-in-stream"
    SHORT_BODY = "short-body"
    GARBAGE = "garbage"
    BAD_HEADER = "bad-header"
    ENDLESS_LINE = "endless-line"
    REDIRECT = "302"
    LATER = "202"
    GZIP = "gzip"
    HEADERS = "headers"
    ECHO_KEY = "echo-key"
    SLOW_READ = "slow-read"


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """After ``after`` requests that it fits, ``count`` more get this fault (None: all, until the reset)."""

    kind: Kind
    count: Annotated[int, msgspec.Meta(ge=1)] | None = None
    model: str | None = None
    """Only this model; None fits all."""
    after: Annotated[int, msgspec.Meta(ge=0)] = 0
    path: str | None = None
    """Only this path; None fits the endpoints that count."""
    value: str | None = None
    """What ``retry-after`` says, sent as it stands."""

    def __post_init__(self) -> None:
        value = self.value or ""
        if not (value.isascii() and value.isprintable() and value == value.strip()):
            raise ValueError(f"not the value of a header: {value!r}")


class _Script:
    """A fault and how far it has got."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self._to_pass = fault.after
        self._left = fault.count

    def fits(self, path: str, model: str, *, counted: bool) -> bool:
        if self._left == 0:
            return False
        place = counted if self.fault.path is None else self.fault.path == path
        return place and self.fault.model in {None, model}

    def strike(self) -> bool:
        """Whether the fault happens to this request, which fits it."""
        if self._to_pass:
            self._to_pass -= 1
            return False
        if self._left is not None:
            self._left -= 1
        return True


class Faults:
    """The scripts, in the order in which they were written; the first that fits and strikes is played."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._scripts: list[_Script] = []
        self._named: Counter[str] = Counter()  # requests seen per fault/… model that has a count

    def script(self, fault: Fault) -> None:
        self._scripts.append(_Script(fault))

    def take(self, path: str, model: str, *, counted: bool = True) -> Fault | None:
        """The fault that this request gets. ValueError: the model's name asks for one that does not exist."""
        for script in self._scripts:
            if script.fits(path, model, counted=counted) and script.strike():
                return script.fault
        if not counted or not model.startswith(PREFIX):
            return None
        fault = parse_name(model)
        if fault.count is not None:
            self._named[model] += 1
            if self._named[model] > fault.count:
                return None
        return fault

    def reads_slowly(self, path: str, body_so_far: bytes) -> bool:
        """Whether to dawdle over a body that is still arriving; bytes are all there is of its model yet."""
        if b"fault/slow-read" in body_so_far:
            return True
        return any(
            script.fault.kind is Kind.SLOW_READ
            and script.fits(path, script.fault.model or "", counted=True)
            and (script.fault.model or "").encode() in body_so_far
            for script in self._scripts
        )


def parse_name(model: str) -> Fault:
    """``fault/500`` and ``fault/500-2``; in ``fault/retry-after-VALUE`` the rest is the header's value."""
    name = model.removeprefix(PREFIX)
    if name.startswith("retry-after-"):
        return Fault(kind=Kind.RETRY_AFTER, model=model, value=name.removeprefix("retry-after-"))
    found = re.fullmatch(r"(?P<kind>.+?)(?:-(?P<count>[1-9]\d{0,8}))?", name, flags=re.ASCII)
    if not found or found["kind"] not in set(Kind):
        raise ValueError(f"nvidia-sim knows no fault {name!r}; it knows: {', '.join(Kind)}")
    return Fault(kind=Kind(found["kind"]), model=model, count=int(found["count"]) if found["count"] else None)
