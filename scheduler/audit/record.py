"""One record of the audit log, and how anything becomes one that every store can hold.

A record that a store cannot take would be refused at every try and hold up all that come after it. So what
one store or another cannot hold is replaced here, where it enters: lone surrogates (no UTF-8 has them), NUL
(PostgreSQL's text has none), numbers beyond 64 bits, infinities, objects.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import msgspec

from shared import clock
from shared.redaction import MASK, Redactor

JSON: TypeAlias = "bool | int | float | str | Sequence[JSON] | Mapping[str, JSON] | None"

MOST_DETAIL_BYTES: Final = 16 * 1024
"""As JSON. Agents decide how long a title or a reason is; the log keeps many of them in memory."""

LONGEST_WORD: Final = 500
"""Characters of an actor, an action, a subject, an outcome."""

# The secret of a claim token, which stands between nothing that `Redactor` would know it by.
_CLAIM: Final = re.compile(r"\b(T-[0-9A-Za-z]+\.\d+\.)[0-9A-Za-z_-]{8,}")
_LARGEST: Final = 2**63


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """`actor` did `action` to `subject` at `at`, and `outcome` came of it."""

    at: float
    """Unix time, in seconds."""
    actor: str
    """An agent's id, a person's name, or the part of the scheduler that acted by itself."""
    action: str
    """`run_started`, `run_ended`, `approval`, `config_changed`, `write_denied`, or a task's event."""
    subject: str
    """The id of what it was done to: a task, an agent, a setting."""
    outcome: str
    """`ok`, or the code of the refusal."""
    details: Mapping[str, object]


def plain(record: AuditRecord, redactor: Redactor) -> AuditRecord:
    """The same without secrets, in types and of a size that every store can hold; shares nothing with it."""

    def word(text: str) -> str:
        return _text(redactor.text(text))[:LONGEST_WORD]

    return AuditRecord(
        at=record.at,
        actor=word(record.actor),
        action=word(record.action),
        subject=word(record.subject),
        outcome=word(record.outcome),
        details=_bounded(_plain(redactor.walk(record.details))),
    )


def as_json(record: AuditRecord) -> bytes:
    """A record that `plain` has made, as one JSON object. Raises as `clock.rfc3339` does."""
    return msgspec.json.encode(
        {
            "at": clock.rfc3339(record.at),
            "actor": record.actor,
            "action": record.action,
            "subject": record.subject,
            "outcome": record.outcome,
            "details": record.details,
        }
    )


def _plain(value: object) -> JSON:
    match value:
        case None | bool():
            return value
        case int():
            return value if -_LARGEST <= value < _LARGEST else str(value)
        case float():
            return value if math.isfinite(value) else str(value)
        case dict():
            return {_text(str(key)): _plain(item) for key, item in value.items()}
        case list():
            return [_plain(item) for item in value]
        case _:
            return _text(str(value))


def _text(text: str) -> str:
    text = text.encode("utf-8", "replace").decode("utf-8").replace("\0", "\N{REPLACEMENT CHARACTER}")
    return _CLAIM.sub(rf"\g<1>{MASK}", text)


def _bounded(details: JSON) -> Mapping[str, JSON]:
    encoded = msgspec.json.encode(details)
    if len(encoded) <= MOST_DETAIL_BYTES and isinstance(details, Mapping):
        return details
    return {"shortened": encoded[:MOST_DETAIL_BYTES].decode("utf-8", "ignore"), "bytes": len(encoded)}
