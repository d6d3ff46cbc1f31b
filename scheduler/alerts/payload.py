"""What Alertmanager sends to a webhook, version 4. Pure.

Read leniently: fields that are missing or new do no harm, and neither does a value of another type where text
stands. What is no list of alerts, or an alert in neither state, is refused as a whole, and refused is said.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

MOST_CHARACTERS: Final = 4_000
"""Of one value. A message is read by people."""
_STATES: Final = frozenset({"firing", "resolved"})
# What neither a database nor a terminal should be given; a line may end.
_ODD: Final = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class PayloadError(ValueError):
    """This is no such message; the text says what is wrong with it, without quoting it."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert in one state. Times are as they came; all text is clean."""

    status: str
    """`firing` or `resolved`"""
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    starts_at: str
    ends_at: str
    generator_url: str
    external_url: str
    """Alertmanager's own"""
    fingerprint: str

    @property
    def name(self) -> str:
        """What the rule is called."""
        return self.labels.get("alertname") or "Alert without a name"

    @property
    def severity(self) -> str:
        """In lower case; empty: nobody said."""
        return self.labels.get("severity", "").strip().lower()

    @property
    def cause(self) -> str:
        """The same for the same state of the same alert."""
        cause = f"alert:{self.fingerprint}:{self.starts_at}:{self.status}"
        if len(cause) <= 200:
            return cause
        return f"alert:{hashlib.sha256(cause.encode()).hexdigest()}"


def read_alerts(body: bytes) -> tuple[Alert, ...]:
    """Raises PayloadError."""
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        raise PayloadError("the body is not valid JSON") from None
    if not isinstance(message, dict):
        raise PayloadError("the body is no JSON object")
    alerts = message.get("alerts")
    if not isinstance(alerts, list):
        raise PayloadError("`alerts` is no list")
    return tuple(_alert(each, message, place) for place, each in enumerate(alerts, 1))


def _alert(written: Any, message: Mapping[str, Any], place: int) -> Alert:
    if not isinstance(written, dict):
        raise PayloadError(f"alert {place} is no JSON object")
    status = written.get("status", message.get("status"))
    if status not in _STATES:
        raise PayloadError(f"alert {place} is neither firing nor resolved")
    labels = _texts(written.get("labels"), f"the labels of alert {place}")
    return Alert(
        status=str(status),
        labels=labels,
        annotations=_texts(written.get("annotations"), f"the annotations of alert {place}"),
        starts_at=_text(written.get("startsAt")),
        ends_at=_text(written.get("endsAt")),
        generator_url=_text(written.get("generatorURL")),
        external_url=_text(message.get("externalURL")),
        fingerprint=_text(written.get("fingerprint")) or _fingerprint(labels),
    )


def _texts(written: Any, what: str) -> Mapping[str, str]:
    if written is None:
        return {}
    if not isinstance(written, dict):
        raise PayloadError(f"{what} are no JSON object")
    return {_text(name): _text(value) for name, value in written.items()}


def _text(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value)
    return _ODD.sub("\N{REPLACEMENT CHARACTER}", text[:MOST_CHARACTERS])


def _fingerprint(labels: Mapping[str, str]) -> str:
    """Alertmanager's own is a hash of the labels, too."""
    return hashlib.sha256(json.dumps(labels, sort_keys=True).encode()).hexdigest()[:16]
