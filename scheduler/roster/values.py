"""Single values of the roster: expressions, times of day, names. Each says in plain words what it must be."""

import re
from datetime import UTC, datetime
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, StringConstraints

from scheduler.core.durations import parse_duration
from scheduler.roster.model import Missed, QuietHours
from shared.settings import Expect
from shared.settings.values import Lower, Number, base_url

_LONGEST_EVERY_SECONDS: Final = 366 * 86400
_ANY_DAY: Final = datetime(2024, 1, 1, tzinfo=UTC)


def _cron(text: str) -> str:
    """Five fields: with a sixth, cronsim reads seconds. It refuses days that no month has."""
    fields = text.split()
    if len(fields) != 5 or len(text) > 200:
        raise ValueError
    try:
        CronSim(text, _ANY_DAY)
    except CronSimError as error:
        raise ValueError(f"{_CRON_WORDS} ({str(error).lower()})") from error
    return " ".join(fields)


def _zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (OSError, ValueError, KeyError):  # a directory of zones, a path out of them, an unknown name
        raise ValueError from None
    return text


def _minute_of_day(value: object) -> int:
    match = (
        re.fullmatch(r"([01][0-9]|2[0-3]):([0-5][0-9])", value.strip()) if isinstance(value, str) else None
    )
    if match is None:
        raise ValueError
    return int(match[1]) * 60 + int(match[2])


def _quiet_hours(value: object) -> QuietHours:
    start, _, end = str(value).partition("-")
    hours = QuietHours(_minute_of_day(start), _minute_of_day(end))
    if hours.start_minute == hours.end_minute:
        raise ValueError
    return hours


def _every(value: object) -> object:
    """Seconds; None, and ``off``, which YAML reads as false, is never."""
    if value is False or value == "off":
        return None
    if isinstance(value, str):
        seconds = parse_duration(value)
        if seconds is None:
            raise ValueError
        return seconds
    return value


def _with_program(words: tuple[str, ...]) -> tuple[str, ...]:
    if not words or not words[0].strip():
        raise ValueError
    return words


def webhook(url: SecretStr) -> SecretStr:
    """The address without what could lead elsewhere, or ``ValueError``."""
    return SecretStr(base_url(url.get_secret_value()))


def _one_or_more(value: object) -> object:
    if value is None:  # a key whose items are commented out
        return ()
    return (value,) if isinstance(value, str) else value


_CRON_WORDS = 'a cron expression of five fields, such as "*/15 * * * *", in quotes'
Cron = Annotated[str, AfterValidator(_cron), Expect(_CRON_WORDS)]
Zone = Annotated[str, AfterValidator(_zone), Expect("the name of a time zone, such as Asia/Shanghai or UTC")]
MinuteOfDay = Annotated[
    int,
    BeforeValidator(_minute_of_day),
    # YAML reads 18:30 without quotes as a number to the base of 60.
    Expect('a time of day such as "08:30", in quotes'),
]
Quiet = Annotated[
    QuietHours, BeforeValidator(_quiet_hours), Expect('two different times of day, such as "22:00-08:00"')
]
Every = Annotated[
    Annotated[Number, Field(gt=0, le=_LONGEST_EVERY_SECONDS)] | None,
    BeforeValidator(_every),
    Expect("a time such as 4h, 30m or 1d, a number of seconds, or off"),
]
Minutes = Annotated[Number, Field(gt=0, le=1e6), Expect("a number of minutes above 0, up to 1000000")]
AgentId = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$"),
    Expect(
        "an agent's id: lower-case letters, digits, '_' and '-', at most 64; in quotes if YAML knows the word"
    ),
]
MulticaId = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"),
    Expect("the agent's id in Multica, letters, digits and '-'"),
]
MissedPolicy = Annotated[Missed, Lower, Expect("one of skip, run_once, run_all")]
Kind = Annotated[Literal["log", "openclaw", "feishu"], Lower, Expect("one of log, openclaw, feishu")]
Line = Annotated[
    str,
    # No control characters: it is shown in terminals, pages and messages.
    StringConstraints(pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]{1,500}$", strip_whitespace=True),
    Expect("one line of text, at most 500 characters, in quotes where it is a number"),
]
Lines = Annotated[tuple[Line, ...], BeforeValidator(_one_or_more), Expect("a list of lines of text")]
TargetName = Annotated[
    str,
    # Any creator's name may stand here.
    StringConstraints(pattern=r"^[^\x00-\x20\x7f-\xa0\u2028\u2029]{1,64}$"),
    Expect("a name without spaces, at most 64 characters"),
]
Names = Annotated[
    tuple[TargetName, ...],
    BeforeValidator(_one_or_more),
    Expect("a list of names of targets, such as [coo, creator]"),
]
Webhook = Annotated[
    SecretStr,
    AfterValidator(webhook),
    Expect("the address of the bot, as Feishu shows it", secret=True),
]
Argument = Annotated[
    str,
    StringConstraints(pattern=r"^[^\x00]*$", max_length=4096),
    Expect("text, in quotes where it is a number"),
]
Arguments = Annotated[
    tuple[Argument, ...],
    AfterValidator(_with_program),
    Expect("a list that begins with the program, such as [make, test]: no shell reads it"),
]
