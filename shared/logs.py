"""One log line per event, on stdout, for machines (JSON) or people (console); the same for Hypercorn's.

Whatever is logged, a line is one line, holds no secret, and costs the request that it is about nothing but
microseconds: a full disk, a reader that has gone or a value that cannot be encoded loses a line, never a
request. Lines that were lost are counted, and the number is logged when writing works again.

Call `configure` once, at the start of the process. Loggers (`structlog.get_logger()`) may be made before, at
import: structlog assembles them at their first use.
"""

import io
import json
import logging
import os
import re
import sys
import threading
from collections.abc import Callable, Iterable, MutableMapping
from typing import Any, Final, Literal, TextIO

import msgspec
import structlog

from shared import clock
from shared.redaction import Redactor

LONGEST_LINE_BYTES: Final = 16 * 1024
"""A longer line is walked, and its strings cut, before it is written."""
LONGEST_TRACEBACK: Final = 8_000
"""Characters of a traceback that are kept: its end, where the reason stands."""

_encode: Final = msgspec.json.Encoder(enc_hook=str).encode
# JSON escapes what is below U+0020. These end a line too, or drive a terminal, for some readers: DEL, the C1
# controls (one of them is CSI) and the Unicode line separators; here as UTF-8.
_ODD_BYTES: Final = re.compile(rb"\x7f|\xc2[\x80-\x9f]|\xe2\x80[\xa8\xa9]")
_ODD_CHARACTERS: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

_EventDict = MutableMapping[str, Any]


class _Output:
    """Where lines go, and in which form. One per process, because stdout is; `configure` owns the fields."""

    def __init__(self) -> None:
        self.redactor = Redactor()
        self._render: Callable[[dict[str, object]], bytes] = self._json
        self._stream: TextIO | None = None
        self._fd: int | None = None
        self._lock = threading.Lock()
        self._lost = 0  # lines, since the last one that was written
        self._torn = False  # a line was begun and not ended
        self._calendar = (-1, "")  # the current second, and how it is written

    def direct(self, fmt: Literal["json", "console"], stream: TextIO | None) -> None:
        self._render = self._json if fmt == "json" else self._console
        self._stream = stream
        try:
            # Past the buffer of the stream: a line is one write(2), and a failed one leaves nothing behind
            # that would fail again at exit and turn a good exit code into 120.
            self._fd = None if stream is None else stream.fileno()
        except (OSError, ValueError, io.UnsupportedOperation):
            self._fd = None

    def line(self, _logger: object, level: str, event: _EventDict) -> bytes:
        """structlog's only processor: an event to the bytes of its line. Does not raise."""
        fields: dict[str, object] = {
            "timestamp": self._timestamp(),
            "level": "warning" if level == "warn" else level,
            "event": event.pop("event", ""),
        }
        fault = event.pop("exc_info", None)
        fields.update(event)
        if fault:
            fields["exception"] = _traceback(fault)
        try:
            return self._render(fields)
        except Exception as error:
            return self._last_word(fields, error)

    def write(self, line: bytes) -> None:
        """Write one line whole, or lose it. Safe from any thread."""
        with self._lock:
            try:
                if self._lost:
                    note = {"timestamp": self._timestamp(), "level": "warning", "event": "log_lines_lost"}
                    self._put(self._render({**note, "count": self._lost}) + b"\n")
                    self._lost = 0
                self._put(line + b"\n")
            except (OSError, ValueError):  # no space, no reader, no stream
                self._lost += 1

    def _put(self, data: bytes) -> None:
        if self._fd is not None:
            rest = memoryview(b"\n" + data if self._torn else data)
            while rest:
                rest = rest[os.write(self._fd, rest) :]
                self._torn = bool(rest)
        elif self._stream is not None:
            self._stream.write(data.decode("utf-8", "replace"))
            self._stream.flush()

    def _timestamp(self) -> str:
        now = clock.wall()
        second, prefix = self._calendar
        if second != int(now):  # the calendar is asked once a second
            second, prefix = int(now), clock.rfc3339(int(now))[:-4]
            self._calendar = (second, prefix)
        return f"{prefix}{int((now - second) * 1000):03d}Z"

    def _json(self, fields: dict[str, object]) -> bytes:
        line = b""
        if not self.redactor.must_walk(fields):
            line = _encode(fields)
        if not line or len(line) > LONGEST_LINE_BYTES or self.redactor.suspicious(line):
            line = _encode(self.redactor.walk(fields))
        if not line.isascii() or b"\x7f" in line:
            line = _ODD_BYTES.sub(lambda odd: b"\\u%04x" % ord(odd[0].decode()), line)
        return line

    def _last_word(self, fields: dict[str, object], error: Exception) -> bytes:
        """For what msgspec cannot encode: a lone surrogate, a number beyond 64 bits, a hostile `str`."""
        try:
            return json.dumps(self.redactor.walk(fields)).encode("ascii")
        except Exception:
            kept = {key: fields[key] for key in ("timestamp", "level")}
            return _encode({**kept, "event": "log_line_unwritable", "error": type(error).__name__})

    def _console(self, fields: dict[str, object]) -> bytes:
        clean = self.redactor.walk(fields)
        assert isinstance(clean, dict)
        exception = clean.pop("exception", None)
        stamp, level, event = clean.pop("timestamp"), clean.pop("level"), clean.pop("event")
        words = [f"{stamp} {level!s:<8} {_visible(str(event))}"]
        words.extend(f"{_visible(str(key))}={_visible(_plain(value))}" for key, value in clean.items())
        text = " ".join(words)
        if exception:
            # Each line behind a bar, so that no message can pass itself off as a line of the log.
            text += "".join(f"\n    | {_visible(part)}" for part in str(exception).splitlines())
        return text.encode("utf-8", "backslashreplace")


class _Logger:
    """What structlog calls with a finished line. One method under every name of a level."""

    def msg(self, line: bytes) -> None:
        _output.write(line)

    log = debug = info = warn = warning = error = err = critical = fatal = exception = failure = msg


class _Handler(logging.Handler):
    """The way of the standard library's loggers (Hypercorn's, and whatever a dependency has) into ours."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            event: _EventDict = {"event": record.getMessage(), "logger": record.name}
            if record.exc_info:
                event["exc_info"] = record.exc_info
            _output.write(_output.line(None, record.levelname.lower(), event))
        except Exception:  # noqa: S110 - a wrong format string of a dependency ends no request
            pass


_output: Final = _Output()
# The same list for every `configure`: loggers keep the one they were assembled with, and
# `structlog.testing.capture_logs` empties it in place.
_PROCESSORS: Final[list[structlog.typing.Processor]] = [_output.line]


def configure(
    *,
    level: str,
    fmt: Literal["json", "console"],
    secrets: Iterable[str] = (),
    stream: TextIO | None = None,
) -> None:
    """Direct every log of the process to `stream` (stdout), from `level` (`DEBUG` … `CRITICAL`) upwards.

    The standard library's loggers are heard from WARNING upwards. Raises ValueError for an unknown level.
    """
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise ValueError(f"unknown log level {level!r}")
    add_secrets(secrets)
    _output.direct(fmt, stream if stream is not None else sys.stdout)
    structlog.configure(
        processors=_PROCESSORS,
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=_logger_factory,
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    for handler in list(root.handlers):
        if isinstance(handler, _Handler):
            root.removeHandler(handler)
    root.addHandler(_Handler())
    root.setLevel(max(number, logging.WARNING))


def add_secrets(values: Iterable[str]) -> None:
    """Mask these in every line from now on (those shorter than 4 characters are ignored)."""
    _output.redactor.add(values)


def _logger_factory(*_names: object) -> _Logger:
    return _Logger()


def _traceback(fault: object) -> str:
    """Plain text and no local variables, which are where headers and bodies would be."""
    if fault is True:
        fault = sys.exc_info()
    if isinstance(fault, BaseException):
        fault = (type(fault), fault, fault.__traceback__)
    if not isinstance(fault, tuple) or fault[0] is None:
        return ""
    text = logging.Formatter().formatException(fault)
    return text if len(text) <= LONGEST_TRACEBACK else f"…{text[-LONGEST_TRACEBACK:]}"


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _visible(text: str) -> str:
    return _ODD_CHARACTERS.sub(lambda odd: odd[0].encode("unicode_escape").decode(), text)
