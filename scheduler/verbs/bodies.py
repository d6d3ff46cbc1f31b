"""What each question to the board says, field by field.

The rule: what is not known is refused, with the field named. A card's fields are called as on the card, all
others as the long options of the command line, with `_` for `-`.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Final, Literal, TypeVar, get_args

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from scheduler.core.errors import Code, Refused
from scheduler.core.records import Verdict
from scheduler.core.states import Status
from scheduler.core.task import Source

MOST_ENTRIES: Final = 1_000
LONGEST_LEASE_SECONDS: Final = 86_400

Name = Annotated[str, Meta(min_length=1, max_length=200)]
Names = Annotated[tuple[Name, ...], Meta(max_length=MOST_ENTRIES)]
Checks = Annotated[tuple[str, ...], Meta(max_length=MOST_ENTRIES)]
Count = Annotated[int, Meta(ge=1, le=1_000_000)]
Lease = Annotated[float, Meta(ge=1, le=LONGEST_LEASE_SECONDS)]
PriorityWord = Literal["urgent", "high", "normal", "low"]
Claim = Annotated[str, Meta(max_length=200)]


class Nothing(Struct, forbid_unknown_fields=True, frozen=True):
    """`retry`, `stop`, `archive`: the name says it all."""


class Create(Struct, forbid_unknown_fields=True, frozen=True):
    title: str
    description: str = ""
    priority: PriorityWord = "normal"
    creator: Name | None = None
    """None: who asks"""
    assignee: str | None = None
    depends_on: Names = ()
    source: Source = Source.BLACKBOARD
    external_id: Annotated[str, Meta(min_length=1, max_length=500)] | None = None
    risk_tools: Names = ()
    expects: Checks = ()
    review: str = "accept_nonempty"
    max_attempts: Count | None = None
    """None: as the settings say"""
    max_turns: Count | None = None
    not_before: str | None = None


class Set(Struct, forbid_unknown_fields=True, frozen=True):
    title: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    priority: PriorityWord | UnsetType = UNSET
    assignee: str | UnsetType | None = UNSET
    depends_on: Names | UnsetType = UNSET
    risk_tools: Names | UnsetType = UNSET
    expects: Checks | UnsetType = UNSET
    review: str | UnsetType = UNSET
    max_attempts: Count | UnsetType = UNSET
    max_turns: Count | UnsetType | None = UNSET
    not_before: str | UnsetType | None = UNSET


class List(Struct, forbid_unknown_fields=True, frozen=True):
    status: Annotated[tuple[Status, ...], Meta(max_length=50)] = ()
    """none: all"""
    assignee: str | None = None
    claimable: bool = False
    archived: bool = False
    limit: Annotated[int, Meta(ge=1, le=1_000)] = 100
    cursor: Annotated[str, Meta(max_length=500)] | None = None


class Read(Struct, forbid_unknown_fields=True, frozen=True):
    full: bool = False
    """with all that stands beside it"""


class ClaimIt(Struct, forbid_unknown_fields=True, frozen=True):
    agent: str | None = None
    """None: the agent whose claim token asks"""
    ttl: Lease = 1800.0


class Written(Struct, forbid_unknown_fields=True, frozen=True):
    """What an agent may write under its claim. `claim`: the token, where it does not come otherwise."""

    claim: Claim | None = None


class Heartbeat(Written, forbid_unknown_fields=True, frozen=True):
    turn: Annotated[int, Meta(ge=0, le=1_000_000)] | None = None
    note: str | None = None
    waiting_for: str | None = None


class HandIn(Written, forbid_unknown_fields=True, frozen=True):
    """Of `text`, `content_base64` and a file that has come by another way, exactly one."""

    text: str | None = None
    content_base64: str | None = None
    name: str | None = None
    final: bool = False


class Say(Written, forbid_unknown_fields=True, frozen=True):
    """`text` is missing from no comment, but may be empty: then the rules refuse it."""

    text: str = ""
    author: Name | None = None


class Because(Written, forbid_unknown_fields=True, frozen=True):
    """Where a reason is needed, the rules say so."""

    reason: str = ""


class Cancel(Struct, forbid_unknown_fields=True, frozen=True):
    reason: str = ""


class Answer(Struct, forbid_unknown_fields=True, frozen=True):
    text: str = ""
    author: Name | None = None


class Decide(Struct, forbid_unknown_fields=True, frozen=True):
    """`decision`, or one of the four that is true."""

    by: Name | None = None
    decision: Verdict | None = None
    accept: bool = False
    rework: bool = False
    approve: bool = False
    reject: bool = False
    reason: str = ""

    def verdict(self) -> Verdict:
        """Raises Refused (`invalid`) for none, and for more than one."""
        said = {verdict for verdict in Verdict if getattr(self, verdict)}
        said |= {self.decision} if self.decision is not None else set()
        if len(said) != 1:
            raise Refused(Code.INVALID, "decision: exactly one of accept, rework, approve, reject")
        return said.pop()


B = TypeVar("B", bound=Struct)


def read(kind: type[B], body: object, *, strict: bool) -> B:
    """`body` as a `kind`; raises Refused (`invalid`). Not strict: numbers may be text, as in a query."""
    if not isinstance(body, Mapping):
        raise Refused(Code.INVALID, "a JSON object is needed")
    try:
        asked = msgspec.convert(body, kind, strict=strict)
    except msgspec.ValidationError as error:
        raise Refused(Code.INVALID, _in_words(str(error), kind)) from error
    for name, text in _texts(asked):
        _check_storable(name, text)
    return asked


_WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "priority": get_args(PriorityWord),
    "status": tuple(Status),
    "source": tuple(Source),
    "decision": tuple(Verdict),
}
"""Of the fields that take one of a few."""
_UNKNOWN: Final = "Object contains unknown field `"
_NO_WORD: Final = "Invalid enum value "


def _in_words(problem: str, kind: type[Struct]) -> str:
    """msgspec says "Expected `str`, got `int` - at `$.title`"; people look for the name first."""
    what, at, where = problem.partition(" - at `$.")
    name = where.rstrip("`")
    if what.startswith(_UNKNOWN):
        return _unknown(what.removeprefix(_UNKNOWN).rstrip("`"), kind)
    field = name.partition("[")[0]
    if what.startswith(_NO_WORD) and field in _WORDS:
        *others, last = _WORDS[field]
        return f"{field} is {', '.join(others)} or {last}, not {what.removeprefix(_NO_WORD)}"
    return f"{name}: {what[:1].lower()}{what[1:]}" if at else what


def _unknown(field: str, kind: type[Struct]) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 - only for who mistypes

    meant = get_close_matches(field, kind.__struct_fields__, n=1)
    return f"unknown field '{field}'" + (f": did you mean '{meant[0]}'?" if meant else "")


def _texts(asked: Struct) -> Iterator[tuple[str, str]]:
    for name in asked.__struct_fields__:
        value = getattr(asked, name)
        for each in value if isinstance(value, tuple) else (value,):
            if isinstance(each, str):
                yield name, each


_UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")


def _check_storable(name: str, text: str) -> None:
    """Half a surrogate pair is no Unicode, and PostgreSQL keeps no NUL: what one takes, both take."""
    if _UNSTORABLE.search(text):
        raise Refused(Code.INVALID, f"{name}: a NUL, or text that is not Unicode")
