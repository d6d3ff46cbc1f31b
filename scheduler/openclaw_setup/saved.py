"""What it takes to go back: `openclaw-undo.json` in the state directory, one step for each `apply`.

The file holds OpenClaw's configuration as it was, with whatever keys stand in it, so nobody else may read it.
"""

import base64
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from scheduler.core.openclaw.jobs import Automation
from scheduler.core.openclaw.tree import ABSENT, Change, Json
from shared.errors import StartError
from shared.files import sync_directory

NAME: Final = "openclaw-undo.json"
_PRIVATE: Final = 0o600


@dataclass(frozen=True, slots=True)
class Step:
    """One `apply`: what it changed, and the file before and after."""

    at: str
    file: Path
    mode: int
    original: bytes
    after_sha256: str | None
    """None: `apply` did not come that far"""
    changes: tuple[Change, ...]
    automations: tuple[Automation, ...]


class Saved:
    """The steps, newest last, in a file of this directory. Every method blocks, and raises StartError."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / NAME

    def steps(self) -> list[Step]:
        """What can be taken back."""
        try:
            document = json.loads(self.file.read_text(encoding="utf-8"))
            return [_read(step) for step in document["steps"]]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StartError(f"{self.file} cannot be read ({type(error).__name__})") from error

    def add(self, step: Step) -> None:
        """Before anything is changed."""
        self._write([*self.steps(), step])

    def applied(self, after_sha256: str) -> None:
        """The newest step has come so far."""
        *others, newest = self.steps()
        self._write([*others, replace(newest, after_sha256=after_sha256)])

    def drop(self) -> None:
        """The newest step has been taken back."""
        self._write(self.steps()[:-1])

    def _write(self, steps: list[Step]) -> None:
        try:
            if steps:
                text = json.dumps({"steps": [_written(step) for step in steps]}, indent=2)
                write_whole(self.file, text.encode(), _PRIVATE)
            else:
                self.file.unlink(missing_ok=True)
        except OSError as error:
            raise StartError(f"{self.file} cannot be written: {error.strerror}") from error


def write_whole(file: Path, content: bytes, mode: int) -> None:
    """The whole content or what was there before, also after a power cut; it stays its owner's. A link stays,
    and what it leads to is written. Raises OSError.
    """
    file = file.resolve()
    draft = file.with_name(f".{file.name}.clawpace")
    draft.unlink(missing_ok=True)
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, _PRIVATE)
    try:
        with os.fdopen(fd, "wb") as written:
            written.write(content)
            written.flush()
            if file.exists() and (there := file.stat()).st_uid != os.geteuid():
                os.fchown(fd, there.st_uid, there.st_gid)
            os.fchmod(fd, mode)
            os.fsync(fd)
        draft.rename(file)
        sync_directory(file.parent)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def digest(content: bytes) -> str:
    """What a file is compared by."""
    return hashlib.sha256(content).hexdigest()


def change_as_json(change: Change, value: Json, before: Json) -> dict[str, Json]:
    """`before` is left out where nothing stood."""
    was = {} if change.before is ABSENT else {"before": before}
    return {"path": list(change.path), **was, "after": value, "why": change.why}


def _written(step: Step) -> dict[str, Json]:
    return {
        "at": step.at,
        "file": str(step.file),
        "mode": step.mode,
        "original_base64": base64.b64encode(step.original).decode("ascii"),
        "after_sha256": step.after_sha256,
        "changes": [
            {**change_as_json(each, each.after, each.before), "depth": each.depth} for each in step.changes
        ],
        "automations": [
            {"id": each.id, "name": each.name, "agent": each.agent, "schedule": each.schedule}
            for each in step.automations
        ],
    }


def _read(step: Mapping[str, Any]) -> Step:
    return Step(
        at=step["at"],
        file=Path(step["file"]),
        mode=step["mode"],
        original=base64.b64decode(step["original_base64"], validate=True),
        after_sha256=step["after_sha256"],
        changes=tuple(
            Change(tuple(each["path"]), each.get("before", ABSENT), each["after"], each["why"], each["depth"])
            for each in step["changes"]
        ),
        automations=tuple(Automation(**each) for each in step["automations"]),
    )
