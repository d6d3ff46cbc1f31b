"""Writes agents that OpenClaw has into the roster's file, if the whole file is right afterwards."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Final

from scheduler.openclaw_setup.roster_text import CannotAddError, with_agents
from scheduler.openclaw_setup.saved import write_whole
from scheduler.roster import read_roster
from shared.errors import StartError

_NEW_FILE: Final = 0o600


def add_agents(file: Path, ids: Sequence[str], *, dry_run: bool = False) -> None:
    """Raises StartError, and then the file is as it was. `dry_run`: only see whether they can be added."""
    lines = ", ".join(f"{each}: {{}}" for each in ids)
    by_hand = f"add under `agents:` by hand: {lines}"
    try:
        there = file.exists()
        text = file.read_bytes().decode("utf-8") if there else ""
        mode = file.stat().st_mode & 0o777 if there else _NEW_FILE
        added = with_agents(text, ids).encode()
        _validate(file, added)
        if not dry_run:
            write_whole(file, added, mode)
    except CannotAddError as error:
        raise StartError(
            f"the roster {file} is not written in lines that can be added to; {by_hand}"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise StartError(
            f"the roster {file} cannot be changed ({type(error).__name__}); {by_hand}"
        ) from error


def _validate(file: Path, content: bytes) -> None:
    """Beside it, because it may name files beside it. Raises StartError."""
    with NamedTemporaryFile(dir=file.parent, prefix=".agents-", suffix=".yaml", delete=False) as draft:
        draft.write(content)
    try:
        read_roster(Path(draft.name))
    except StartError as error:
        raise StartError(f"the roster {file} would not be right with them:", *error.lines) from error
    finally:
        with suppress(OSError):
            Path(draft.name).unlink()
