"""A to-do document: its items, and one line of it changed. Pure.

An item is a line such as ``- [ ] Water the plants``; `*`, `+`, `1.` and `1)` do as well, however far it is
indented. What stands in a fenced code block or a comment is none.

The rule: what somebody else wrote stays as it is, byte for byte. Ours are the cross in the box and one mark
at the end of the line, an HTML comment, which shows nothing where the document is shown:

    - [ ] Water the plants <!-- clawpace: in progress by ops -->
    - [ ] Water the plants <!-- clawpace: blocked by ops: there is no water -->
    - [ ] Water the plants <!-- clawpace: given back by ops: no progress for 30 minutes -->
    - [x] Water the plants <!-- clawpace: done by ops: all seven of them -->

An item is known by its text, without the mark: not by its line, because lines move. The same text again in a
document is the second of that text.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Final

from scheduler.core.exchange.items import Stage
from scheduler.core.task import Priority

MAX_SAID: Final = 200
"""Characters in a mark: it stands in one line with the item."""

# Only what stands before the text, and the mark from where it begins: to look for an end that may be far away
# from each place where it may begin takes hours, in a line that somebody made for that.
_ITEM: Final = re.compile(
    r"(?P<head>\s*(?:[-*+]|[0-9]{1,9}[.)])[ \t]+\[)(?P<box>[ xX])(?P<tail>\][ \t]+)(?=\S)"
)
_MARK_BEGINS: Final = "<!-- clawpace: "
_MARK: Final = re.compile(
    r"(?P<word>in progress|blocked|given back|done|note)"
    r"(?: by (?P<agent>[a-z0-9_-]+))?(?:: (?P<said>.*))? -->\s*",
    re.DOTALL,
)
_FENCE: Final = re.compile(r"\s*(?:[-*+]\s+|[0-9]{1,9}[.)]\s+)?(?P<fence>`{3,}|~{3,})(?P<info>.*)", re.DOTALL)
_PRIORITY: Final = re.compile(r"(?<!\S)!(urgent|high|low)(?!\w)", re.IGNORECASE)


class Word(StrEnum):
    """What a mark says."""

    IN_PROGRESS = "in progress"
    BLOCKED = "blocked"
    GIVEN_BACK = "given back"
    DONE = "done"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Mark:
    word: Word
    agent: str = ""
    said: str = ""

    def __str__(self) -> str:
        by = f" by {self.agent}" if self.agent else ""
        said = f": {self.said}" if self.said else ""
        return f"<!-- clawpace: {self.word}{by}{said} -->"


@dataclass(frozen=True, slots=True)
class Entry:
    """One item, where it stands and how."""

    line: int
    """from 1"""
    text: str
    ticked: bool
    mark: Mark | None
    key: str
    """of its text, and which of that text it is: the same however the lines around it move"""

    @property
    def stage(self) -> Stage:
        if self.ticked:
            return Stage.DONE
        match self.mark:
            case Mark(Word.IN_PROGRESS):
                return Stage.IN_PROGRESS
            case Mark(Word.BLOCKED):
                return Stage.BLOCKED
        return Stage.TODO

    @property
    def priority(self) -> Priority:
        """By the first `!urgent`, `!high` or `!low` in the text."""
        said = _PRIORITY.search(self.text)
        return Priority[said[1].upper()] if said else Priority.NORMAL


class NoDocumentError(ValueError):
    """It is not text. The message is for people."""


def entries_of(document: bytes) -> Sequence[Entry]:
    """All items, in their order. Raises NoDocumentError."""
    if b"\0" in document:
        raise NoDocumentError("it is not text")
    try:
        document.decode()
    except UnicodeDecodeError as error:
        raise NoDocumentError("it is not UTF-8") from error
    seen: Counter[str] = Counter()
    entries = []
    for number, line in _outside_code(_lines(document)):
        found = _split(line)
        if found is None:
            continue
        seen[found.text] += 1
        again = f".{seen[found.text]}" if seen[found.text] > 1 else ""
        key = sha256(found.text.encode()).hexdigest()[:16] + again
        entries.append(Entry(number, found.text, found.box != " ", found.mark, key))
    return entries


def changed(document: bytes, entry: Entry, *, ticked: bool, mark: Mark | None) -> bytes:
    """The document with this entry's box and mark so, and every other byte as it was."""
    lines = document.splitlines(keepends=True)
    line = lines[entry.line - 1]
    bare = line.rstrip(b"\r\n")
    found = _split(bare.decode())
    assert found is not None, "the entry is of another document"
    box = ("x" if found.box == " " else found.box) if ticked else " "
    said = f" {mark}" if mark else ""
    text = f"{found.head}{box}{found.tail}{found.text}{found.space}{said}"
    lines[entry.line - 1] = text.encode() + line[len(bare) :]
    return b"".join(lines)


def sentence(text: str) -> str:
    """As it can stand in a mark: one line, not long, without what would end the comment."""
    plain = "".join(each if each.isprintable() else " " for each in text)
    line = re.sub("-{2,}", "—", " ".join(plain.split())).rstrip("- ")
    return line if len(line) <= MAX_SAID else line[: MAX_SAID - 1] + "…"


def _lines(document: bytes) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(document.splitlines(), 1):
        yield number, line.decode()


@dataclass(frozen=True, slots=True)
class _Parts:
    """Of a line that is an item: together with the mark, all of it."""

    head: str
    box: str
    tail: str
    text: str
    space: str
    mark: Mark | None


def _split(line: str) -> _Parts | None:
    """The first line may begin with a byte order mark."""
    bare, mark = _unmarked(line)
    begin = 1 if bare.startswith("\ufeff") else 0
    item = _ITEM.match(bare, begin)
    if item is None:
        return None
    rest = bare[item.end() :]
    text = rest.rstrip()
    return _Parts(bare[:begin] + item["head"], item["box"], item["tail"], text, rest[len(text) :], mark)


def _unmarked(line: str) -> tuple[str, Mark | None]:
    begin = line.rfind(_MARK_BEGINS)
    mark = _MARK.fullmatch(line, begin + len(_MARK_BEGINS)) if begin >= 0 else None
    if mark is None or "-->" in (mark["said"] or ""):
        return line, None
    # With the one space that we set before it.
    return line[:begin].removesuffix(" "), Mark(Word(mark["word"]), mark["agent"] or "", mark["said"] or "")


def _outside_code(lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Without what stands in fenced code and in comments of several lines."""
    fence, in_comment = "", False
    for number, line in lines:
        found = _FENCE.fullmatch(line)
        if fence:
            # As CommonMark has it: of the same kind, at least as long, and nothing behind it.
            ends = found is not None and found["fence"].startswith(fence) and not found["info"].strip()
            fence = "" if ends else fence
            continue
        if in_comment:
            in_comment = "-->" not in line
            continue
        # What is quoted in the line itself begins and ends there.
        if found is not None and not (found["fence"][0] == "`" and "`" in found["info"]):
            fence = found["fence"]
            continue
        in_comment = line.rfind("<!--") > line.rfind("-->")
        yield number, line
