"""An alert as a message: whom it is for, its text, its card. Pure; with calendars, so no part of the core."""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from scheduler.alerts.payload import Alert
from scheduler.core.records import Notice
from scheduler.notifications.card import Card, Level

CRITICAL: Final = "critical"
_TARGETS: Final = {CRITICAL: CRITICAL, "warning": "warning"}
_OTHERWISE: Final = "default"
_LEVELS: Final = {CRITICAL: Level.CRITICAL, "warning": Level.WARNING}

MOST_LABELS: Final = 16
LONGEST_VALUE: Final = 300
LONGEST_DETAILS: Final = 2_000
"""Characters. A card of the largest parts stays below every target's limit."""

# The first that is an address is the link.
_LINKS: Final = ("dashboard_url", "dashboardURL", "dashboard", "grafana_url")
_DETAILS: Final = ("summary", "description", "message")
_SHOWN_ELSEWHERE: Final = frozenset({"alertname", "severity"})
_ADDRESS: Final = re.compile(r"https?://[!-~]+")


def notice_of(alert: Alert, zone: str, now: float) -> Notice:
    """Urgent if it is critical, over or not: whoever was woken wants to know that it is over."""
    card = _card(alert, ZoneInfo(zone))
    lines = [f"{card.title} ({alert.severity or 'no severity'})", card.details]
    lines += [f"{name}: {value}" for name, value in card.fields if name != "Severity"]
    lines.append(card.link)
    return Notice(
        to=_TARGETS.get(alert.severity, _OTHERWISE),
        cause=alert.cause,
        text="\n".join(line for line in lines if line),
        at=now,
        urgent=alert.severity == CRITICAL,
        card=card.as_json(),
    )


def _card(alert: Alert, zone: ZoneInfo) -> Card:
    resolved = alert.status == "resolved"
    return Card(
        title=f"{alert.status.upper()}: {alert.name[:LONGEST_VALUE]}",
        level=Level.RESOLVED if resolved else _LEVELS.get(alert.severity, Level.INFO),
        fields=(
            ("Severity", alert.severity or "none"),
            ("Since", _moment(alert.starts_at, zone)),
            *((("Resolved", _moment(alert.ends_at, zone)),) if resolved else ()),
            *_labels(alert),
        ),
        details="\n".join(dict.fromkeys(_details(alert)))[:LONGEST_DETAILS],
        link=next((link for link in _links(alert) if _ADDRESS.fullmatch(link)), ""),
    )


def _details(alert: Alert) -> Iterator[str]:
    for name in _DETAILS:
        if said := alert.annotations.get(name, "").strip():
            yield said


def _labels(alert: Alert) -> Iterator[tuple[str, str]]:
    shown = [name for name in sorted(alert.labels) if name not in _SHOWN_ELSEWHERE]
    for name in shown[:MOST_LABELS]:
        yield name[:LONGEST_VALUE], alert.labels[name][:LONGEST_VALUE]
    if len(shown) > MOST_LABELS:
        yield "and", f"{len(shown) - MOST_LABELS} further labels"


def _links(alert: Alert) -> Iterator[str]:
    yield from (alert.annotations.get(name, "").strip() for name in _LINKS)
    yield alert.generator_url
    yield alert.external_url


def _moment(written: str, zone: ZoneInfo) -> str:
    """In the roster's time zone; as it came where it is no time."""
    try:
        moment = datetime.fromisoformat(written).astimezone(zone)
    except (ValueError, OverflowError):
        return written[:LONGEST_VALUE] or "unknown"
    return f"{moment:%Y-%m-%d %H:%M:%S} {zone.key}"
