"""Runs the command line `blackboard` in this process, in surroundings of its own."""

import io
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from scheduler.cli.__main__ import run

OURS = ("SCHEDULER_", "DATABASE_", "AUDIT_", "BLACKBOARD_", "STATE_DIRECTORY", "CREDENTIALS_DIRECTORY")


@dataclass(frozen=True, slots=True)
class Ended:
    """What came of one command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON value on stdout."""
        return json.loads(self.out)

    @property
    def error(self) -> tuple[int, str]:
        """Exit code, and the code of the error, which is all there is on stdout."""
        value = self.json
        assert set(value) == {"error"}
        assert set(value["error"]) == {"code", "message"}
        assert value["error"]["message"]
        return self.code, value["error"]["code"]


class Shell:
    """`home` is a directory of its own, and nothing of ours is in the environment but what a test sets."""

    def __init__(self, home: Path, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]) -> None:
        self.home = home
        self._patch = patch
        self._capture = capture
        self._before: list[str] = []
        for name in [name for name in os.environ if name.startswith(OURS)]:
            patch.delenv(name)
        self.set(HOME=str(home), LOGNAME="olga")
        patch.chdir(home)

    def set(self, **variables: str) -> None:
        """In the environment of the commands that follow."""
        for name, value in variables.items():
            self._patch.setenv(name, value)

    def always(self, *words: str) -> None:
        """In front of the commands that follow."""
        self._before = list(words)

    def __call__(self, *words: str, stdin: bytes = b"") -> Ended:
        with self._patch.context() as patch:
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
            code = run([*self._before, *words])
        out, err = self._capture.readouterr()
        return Ended(code, out, err)

    def json(self, *words: str, **more: Any) -> Any:
        """The JSON of a command that has to succeed."""
        ended = self("--json", *words, **more)
        assert ended.code == 0, ended
        assert ended.out.count("\n") == 1
        return ended.json

    def error(self, *words: str, **more: Any) -> tuple[int, str]:
        """Exit code and error code of a command that has to fail; both forms of the answer are looked at."""
        told = self("--json", *words, **more)
        for_people = self(*words, **more)
        assert (for_people.code, for_people.out) == (told.code, "")
        assert for_people.err.count("\n") == 1, for_people
        return told.error
