"""The transcript of a run, kept beside the outputs of its task."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from scheduler.blackboard.files import make_directory

NAME: Final = "transcript.jsonl"
_PRIVATE: Final = 0o600


def keep(directory: Path, messages: Iterable[Mapping[str, object]]) -> Path:
    """One message per line, whole or not at all. Blocks; raises OSError. Repeated, it replaces the file."""
    make_directory(directory)
    path = directory / NAME
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, _PRIVATE)
    with os.fdopen(fd, "w", encoding="utf-8", errors="replace") as file:
        for message in messages:
            file.write(json.dumps(message, ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(fd)
    draft.rename(path)
    return path
