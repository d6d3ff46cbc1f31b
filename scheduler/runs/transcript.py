"""The transcript of a run, kept beside the outputs of its task."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from scheduler.blackboard.files import make_directory
from shared.files import replace_file

NAME: Final = "transcript.jsonl"


def keep(directory: Path, messages: Iterable[Mapping[str, object]]) -> Path:
    """One message per line, whole or not at all. Blocks; raises OSError. Repeated, it replaces the file."""
    make_directory(directory)
    path = directory / NAME
    lines = [json.dumps(message, ensure_ascii=False) + "\n" for message in messages]
    replace_file(path, "".join(lines).encode("utf-8", "replace"))
    return path
