"""What a target is told next, and in which words. Pure.

The rule: urgent news goes first; apart from that the order of the outbox is kept. What was held back by quiet
hours goes as one letter. News that reaches the same target by two names is told once.

A letter that was not taken holds up what comes after it, at first: mostly it is the target that is away.
After a few tries it may be the letter, and it steps aside until its next try. Not many do: then it is the
target.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from scheduler.core.notices import Unsent
from scheduler.core.records import Notice

STEPS_ASIDE_AFTER: Final = 4
"""Tries, in more than a minute and a half: a restart puts nothing out of its order."""
MOST_ASIDE: Final = 3
"""Letters. A target that is away is not asked by a hundred in turn."""

_CUT: Final = "\n… (cut: too long for one message)"
_TASK: Final = re.compile(r"(T-[0-9A-Za-z]+)\.[0-9]+:")
_BETWEEN: Final = "\n\n"


@dataclass(frozen=True, slots=True)
class Letter:
    """Told at once, and crossed off at once."""

    of: tuple[Unsent, ...]
    """what it tells, at least one; the first is the oldest"""
    text: str
    card: Mapping[str, object] | None = None
    """the same for whoever can show more than text"""

    @property
    def numbers(self) -> tuple[int, ...]:
        """In the outbox."""
        return tuple(each.number for each in self.of)

    @property
    def to(self) -> tuple[str, ...]:
        """Whom it is for, each name once."""
        return tuple(dict.fromkeys(each.notice.to for each in self.of))

    @property
    def urgent(self) -> bool:
        return self.of[0].notice.urgent


def next_letter(
    unsent: Sequence[Unsent],
    now: float,
    *,
    held_until: Callable[[float], float],
    most_bytes: int,
    board_url: str = "",
) -> Letter | None:
    """The letter whose turn it is; None: nothing may go at `now`. `unsent` is one target's."""
    due = sorted(
        (each for each in unsent if each.notice.urgent or held_until(each.notice.at) <= now), key=_turn
    )
    ready = list(_ready(due, now))
    if not ready:
        return None
    first = ready[0]

    def was_held(each: Unsent) -> bool:
        return not each.notice.urgent and held_until(each.notice.at) > each.notice.at

    if was_held(first):
        return _together([each for each in ready if was_held(each)], most_bytes, board_url)
    same = [first, *(each for each in due if each is not first and _is_same_news(each, first))]
    return Letter(tuple(same), cut(_words(first.notice, board_url), most_bytes), first.notice.card)


def cut(text: str, most_bytes: int) -> str:
    """As much of it as fits, in UTF-8; what was cut is said."""
    data = text.encode("utf-8", "replace")
    if len(data) <= most_bytes:
        return text
    kept = data[: max(0, most_bytes - len(_CUT.encode()))].decode("utf-8", "ignore")
    return kept.rstrip() + _CUT


def _ready(due: Sequence[Unsent], now: float) -> Iterator[Unsent]:
    """Those that may go at `now`, in their turn."""
    # Those of one letter were put off together, until the same moment.
    aside: set[float] = set()
    for each in due:
        if each.next_try_at is None or each.next_try_at <= now:
            yield each
        elif each.tries < STEPS_ASIDE_AFTER:
            return
        else:
            aside.add(each.next_try_at)
            if len(aside) >= MOST_ASIDE:
                return


def _together(held: Sequence[Unsent], most_bytes: int, board_url: str) -> Letter:
    """As many as fit; the others are the next letter."""
    texts: dict[str, None] = {}
    told: list[Unsent] = []
    # The number of messages is not known before the end; three digits more than any heading needs.
    room = most_bytes - len(_heading(100_000).encode())
    for each in held:
        words = _words(each.notice, board_url)
        if words not in texts:
            room -= len((_BETWEEN + words).encode("utf-8", "replace"))
            if told and room < 0:
                break
            texts[words] = None
        told.append(each)
    if len(texts) == 1:
        return Letter(tuple(told), cut(next(iter(texts)), most_bytes), told[0].notice.card)
    return Letter(tuple(told), _BETWEEN.join([_heading(len(texts)), *texts]))


def _heading(count: int) -> str:
    return f"{count} messages from the quiet hours:"


def _words(notice: Notice, board_url: str) -> str:
    """Its text, and where the task is to be seen if it is about one."""
    task = _TASK.match(notice.cause)
    return f"{notice.text}\n{board_url}/#{task[1]}" if task and board_url else notice.text


def _turn(each: Unsent) -> tuple[bool, int]:
    return not each.notice.urgent, each.number


def _is_same_news(one: Unsent, other: Unsent) -> bool:
    return (one.notice.text, one.notice.at, one.notice.urgent) == (
        other.notice.text,
        other.notice.at,
        other.notice.urgent,
    )
