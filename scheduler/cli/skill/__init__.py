"""The page that teaches an agent the board, and how it gets into a workspace.

OpenClaw reads `<workspace>/skills/NAME/SKILL.md`: its frontmatter is in the prompt of each session, the page
is read by whoever has a use for it.

The rule: a page of ours is brought up to date, a page that somebody has edited is kept beside the new one.
The last line of a page of ours has the digest of all before it.
"""

import hashlib
import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from shared.files import replace_file

PLACE: Final = Path("skills/blackboard/SKILL.md")
"""In a workspace."""
_AS_ANY_FILE: Final = 0o666
_OURS: Final = re.compile(r"(.*\n)<!-- written by blackboard skill install: ([0-9a-f]{64}) -->\n", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Installed:
    """`kept`: where the page that was there is now, if somebody had edited it."""

    page: Path
    changed: bool
    kept: Path | None = None


def install(workspace: Path, blackboard: Path) -> Installed:
    """Raises OSError. `blackboard`: the command, with its absolute path."""
    page = workspace / PLACE
    text = _page(shlex.quote(str(blackboard)))
    try:
        before = page.read_bytes().decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        before = None
    if before == text:
        return Installed(page, changed=False)
    page.parent.mkdir(parents=True, exist_ok=True)
    kept = None
    if before is not None and not _unedited(before):
        kept = _free(page)
        page.rename(kept)
    replace_file(page, text.encode(), mode=_AS_ANY_FILE)
    return Installed(page, changed=True, kept=kept)


def _page(command: str) -> str:
    text = Path(__file__).with_name("SKILL.md").read_text(encoding="utf-8").replace("{blackboard}", command)
    return f"{text}<!-- written by blackboard skill install: {_digest(text)} -->\n"


def _unedited(page: str) -> bool:
    """Of this release or another one."""
    match = _OURS.fullmatch(page)
    return match is not None and match[2] == _digest(match[1])


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _free(page: Path) -> Path:
    """Not called `.md`, so that nobody takes it for a page."""
    number = 1
    while os.path.lexists(free := page.with_name(f"SKILL.md.kept-{number}")):
        number += 1
    return free
