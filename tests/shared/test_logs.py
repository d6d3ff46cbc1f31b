import errno
import io
import json
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal

import pytest
import structlog

from shared import logs

CANARY = "nvapi-CANARY-0123456789abcdef"
PLAIN_CANARY = 'correct horse "battery" \\ stäple'


class Full(io.StringIO):
    """A stream on a device that is full until `room` is set."""

    room = False

    def write(self, text: str) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(text)


class State(StrEnum):
    NORMAL = "normal"


@pytest.fixture(autouse=True)
def _put_back() -> Iterator[None]:
    before = logging.getLogger().handlers[:], logging.getLogger().level
    yield
    logging.getLogger().handlers[:], logging.getLogger().level = before
    structlog.reset_defaults()


def log_to(
    stream: io.StringIO, fmt: Literal["json", "console"] = "json", level: str = "INFO"
) -> structlog.typing.FilteringBoundLogger:
    logs.configure(level=level, fmt=fmt, secrets=[CANARY, PLAIN_CANARY], stream=stream)
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger()
    return logger


def one(stream: io.StringIO) -> dict[str, object]:
    text = stream.getvalue()
    assert text.endswith("\n")
    assert len(text.splitlines()) == 1
    line: dict[str, object] = json.loads(text)
    return line


def test_a_line_is_json_with_time_level_and_event_first() -> None:
    stream = io.StringIO()
    log_to(stream).warning("something_happened", b=1, a=State.NORMAL, c=None, d=1.5, e=True)
    line = one(stream)
    assert list(line) == ["timestamp", "level", "event", "b", "a", "c", "d", "e"]
    assert str(line["timestamp"]).endswith("Z")
    assert len(str(line["timestamp"])) == len("2026-01-01T00:00:00.000Z")
    assert (line["level"], line["event"], line["a"]) == ("warning", "something_happened", "normal")


def test_levels_below_the_one_configured_are_silent() -> None:
    stream = io.StringIO()
    log = log_to(stream, level="warning")
    log.info("no")
    log.debug("no")
    log.error("yes")
    assert one(stream)["event"] == "yes"


def test_an_unknown_level_is_an_error() -> None:
    with pytest.raises(ValueError, match="CHATTY"):
        logs.configure(level="CHATTY", fmt="json")


@dataclass
class Thing:
    key: str = CANARY


SPILLS: dict[str, dict[str, object]] = {
    "a value": {"note": f"the key is {CANARY}."},
    "a value that JSON escapes": {"note": f"<{PLAIN_CANARY}>"},
    "a list": {"notes": ["a", [CANARY]]},
    "a nested key": {"map": {CANARY: {"deep": (CANARY,)}}},
    "deeper than anybody looks": {"a": {"b": {"c": {"d": {"e": {"f": {"g": {"h": CANARY}}}}}}}},
    "bytes": {"raw": CANARY.encode()},
    "headers": {"headers": [(b"authorization", b"Bearer " + CANARY.encode())]},
    "an object": {"thing": Thing(), "path": Path("/run") / CANARY},
    "an exception": {"error": ValueError(CANARY)},
    "a long line": {"note": "x" * 20_000 + CANARY},
    "beside a surrogate": {"note": f"\ud83d {CANARY}"},
    "a secret key": {
        "api_key": "unregistered1",
        "X-Admin-Token": "unregistered2",
        "nest": {"Cookie": "unregistered3"},
    },
    "a bearer": {"note": "sent Authorization: Bearer unregistered-token"},
    "another provider key": {"note": "nvapi-unregistered0 and sk-unregistered1234567890"},
    "a url": {"url": "postgresql://user:unregistered@db/x", "redis": "redis://:unregistered@h:1"},
    "a query": {"note": "GET /?api_key=unregistered&admin_token=unregistered"},
    "an exception's traceback": {"exc_info": ValueError(f"bad {CANARY} and {PLAIN_CANARY}")},
}


@pytest.mark.parametrize("fmt", ["json", "console"])
@pytest.mark.parametrize("fields", SPILLS.values(), ids=SPILLS.keys())
def test_no_secret_is_ever_in_a_line(fmt: Literal["json", "console"], fields: dict[str, object]) -> None:
    stream = io.StringIO()
    log_to(stream, fmt).info("spill", **fields)
    text = stream.getvalue()
    assert "spill" in text
    assert "CANARY" not in text
    assert "horse" not in text
    assert "unregistered" not in text
    assert "***" in text or len(text) > 5_000


def test_a_secret_learnt_later_is_masked_from_then_on() -> None:
    stream = io.StringIO()
    log = log_to(stream)
    logs.add_secrets(["learnt-later", "abc"])  # the second is too short to be masked
    log.info("x", note="learnt-later abc")
    assert one(stream)["note"] == "*** abc"


def test_what_is_no_secret_is_left_alone() -> None:
    fields = {
        "prompt_tokens": 5,
        "token_bucket": {"tokens": 3},
        "has_password": True,
        "api_key": None,
        "api_key_file": "/run/key",
        "agent": "task-runner",
        "upstream": "https://integrate.api.nvidia.com/v1",
    }
    stream = io.StringIO()
    log_to(stream).info("x", **fields)
    line = one(stream)
    assert {key: line[key] for key in fields} == fields


@pytest.mark.parametrize("fmt", ["json", "console"])
@pytest.mark.parametrize(
    "odd", ["\n", "\r\n", "\x85", "\u2028", "\u2029", "\x0b", "\x1b[31m", "\x9b31m", "\x7f", "\0"]
)
def test_no_character_makes_a_second_line_or_drives_a_terminal(
    fmt: Literal["json", "console"], odd: str
) -> None:
    stream = io.StringIO()
    log_to(stream, fmt).info(f"a{odd}b", value=f"c{odd}d", nested=[f"e{odd}f"], **{f"k{odd}": 1})
    text = stream.getvalue()
    assert len(text.splitlines()) == 1
    assert all(character.isprintable() for character in text[:-1])


def test_a_traceback_for_people_cannot_forge_a_line() -> None:
    stream = io.StringIO()
    log_to(stream, "console").error("broken", exc_info=ValueError("x\n2026-01-01 info forged\r\x85y"), a=[1])
    first, *rest = stream.getvalue().splitlines()
    assert "error    broken a=[1]" in first
    assert rest
    assert all(line.startswith("    | ") for line in rest)


def fail(_private: str, reason: str = "reason") -> None:
    raise ValueError(reason)


def test_an_exception_being_handled_is_shown_with_its_traceback_and_no_locals() -> None:
    stream = io.StringIO()
    log = log_to(stream)
    try:
        fail("a local " + "value")
    except ValueError:
        log.exception("broken")
    text = str(one(stream)["exception"])
    assert "Traceback (most recent call last)" in text
    assert "ValueError: reason" in text
    assert "a local value" not in text


def test_exc_info_without_an_exception_is_nothing() -> None:
    stream = io.StringIO()
    log_to(stream).error("fine", exc_info=True)
    assert one(stream)["exception"] == ""


class Hostile:
    def __str__(self) -> str:
        raise RuntimeError


def test_what_cannot_be_encoded_is_still_a_line() -> None:
    for value in ("\ud800", 2**70, float("nan"), Hostile(), {1: {2: 3}}, {1, 2}):
        stream = io.StringIO()
        log_to(stream).info("odd", value=value)
        assert one(stream)["event"] in {"odd", "log_line_unwritable"}


def test_a_full_disk_loses_lines_and_says_how_many() -> None:
    stream = Full()
    log = log_to(stream)
    log.info("lost")
    log.info("lost")
    stream.room = True
    log.info("kept")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["event"], line.get("count")) for line in lines] == [("log_lines_lost", 2), ("kept", None)]


def test_a_reader_that_has_gone_is_no_error() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream:
        logs.configure(level="INFO", fmt="json", stream=stream)
        log = structlog.get_logger()
        log.info("heard")
        assert json.loads(os.read(reading, 1_000))["event"] == "heard"
        os.close(reading)
        log.info("unheard")
    log.info("closed")


def test_a_line_that_was_torn_is_ended_before_the_next(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "log"
    write = os.write

    def short(fd: int, data: memoryview) -> int:
        if write(fd, data[:10]) and not full:
            full.append(1)
            return 10
        raise OSError(errno.ENOSPC, "")

    full: list[int] = []
    with path.open("w") as stream:
        logs.configure(level="INFO", fmt="json", stream=stream)
        monkeypatch.setattr(os, "write", short)
        structlog.get_logger().info("torn")
        monkeypatch.setattr(os, "write", write)
        structlog.get_logger().info("whole")
    assert [json.loads(line)["event"] for line in path.read_text().splitlines()[1:]] == [
        "log_lines_lost",
        "whole",
    ]


def test_without_any_stream_nothing_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", None)
    logs.configure(level="INFO", fmt="json")
    structlog.get_logger().info("nowhere")


def stdlib_warning() -> None:
    logging.getLogger("hypercorn.error").warning("%s said %s", "it", CANARY)


def stdlib_exception() -> None:
    try:
        fail("", CANARY)
    except ValueError:
        logging.getLogger("hypercorn.error").exception("it said")


@pytest.mark.parametrize("speak", [stdlib_warning, stdlib_exception])
def test_the_standard_librarys_loggers_come_out_the_same_way(speak: Callable[[], None]) -> None:
    stream = io.StringIO()
    log_to(stream)
    log_to(stream)  # a second time is one handler still
    logging.getLogger("hypercorn.error").info("not heard")
    speak()
    line = one(stream)
    assert line["logger"] == "hypercorn.error"
    assert str(line["event"]).startswith("it said")
    assert CANARY not in str(line)


def test_a_dependencys_wrong_format_string_is_no_error() -> None:
    stream = io.StringIO()
    logging.getLogger().handlers.clear()  # pytest's own would object
    log_to(stream)
    logging.getLogger("x").warning("%d", "not a number")
    assert stream.getvalue() == ""
