"""The tasks of a simulated day: from a file, or made up. Pure but for reading the file."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

import yaml

from scheduler.core.durations import parse_duration
from scheduler.core.errors import Refused
from scheduler.core.task import MAX_TITLE, Priority, agent_name
from shared.errors import StartError

MOST_TASKS: Final = 20_000
MOST_REQUESTS: Final = 10_000
MOST_BYTES: Final = 16 * 1024 * 1024
TASKS_PER_AGENT_AND_DAY: Final = 12
"""Of those that are made up: one every two hours."""
SHARES: Final = {Priority.URGENT: 5, Priority.HIGH: 15, Priority.NORMAL: 60, Priority.LOW: 20}
"""Of a hundred that are made up."""
_QUIET_AT_THE_END: Final = 0.1
"""Of the time: what comes last is to have a chance to be done."""

_KEYS: Final = ("title", "agent", "priority", "at", "requests")


@dataclass(frozen=True, slots=True)
class Arrival:
    """A task that somebody puts on the board."""

    at: float
    """seconds after the beginning"""
    title: str
    agent: str
    priority: Priority
    requests: int | None = None
    """of its run; None: as its agent's runs have"""


def made_up(agents: Sequence[str], hours: float, random: Random) -> tuple[Arrival, ...]:
    """So many for each agent, at any time but the last, in the order of their coming."""
    each = max(1, round(TASKS_PER_AGENT_AND_DAY * hours / 24))
    last = hours * 3600 * (1 - _QUIET_AT_THE_END)
    found = [
        Arrival(
            at=random.uniform(0, last),
            title=f"{agent}'s task {number}",
            agent=agent,
            priority=random.choices(list(SHARES), list(SHARES.values()))[0],
        )
        for agent in agents
        for number in range(1, each + 1)
    ]
    return tuple(sorted(found, key=lambda arrival: arrival.at))


def read_tasks(file: Path) -> tuple[Arrival, ...]:
    """What the file lists, in the order of its coming. Raises StartError (2) with every problem there is."""
    items = _items(file)
    problems: list[str] = []
    found = [_arrival(item, f"{file.name}, task {number}", problems) for number, item in enumerate(items, 1)]
    if problems:
        raise StartError(*problems, exit_code=2)
    return tuple(sorted((each for each in found if each is not None), key=lambda arrival: arrival.at))


def _items(file: Path) -> list[object]:
    try:
        if file.stat().st_size > MOST_BYTES:
            raise StartError(f"--tasks: {file} is larger than 16 MB", exit_code=2)
        data = yaml.safe_load(file.read_bytes())
    except OSError as error:
        raise StartError(f"--tasks: {file} cannot be read: {error.strerror}", exit_code=2) from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise StartError(f"--tasks: {file} line {line} is neither YAML nor JSON", exit_code=2) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise StartError(f"--tasks: {file} is neither YAML nor JSON", exit_code=2) from error
    if not isinstance(data, list) or not data:
        words = "a list of tasks, each with title, agent, priority, at, requests"
        raise StartError(f"--tasks: {file} holds no tasks, expected {words}", exit_code=2)
    if len(data) > MOST_TASKS:
        raise StartError(
            f"--tasks: {file} lists {len(data)} tasks, expected at most {MOST_TASKS}", exit_code=2
        )
    return data


def _arrival(item: object, where: str, problems: list[str]) -> Arrival | None:
    if not isinstance(item, Mapping):
        problems.append(f"{where} is no mapping, expected title, agent, priority, at, requests")
        return None
    wrong = [*_wrong(item)]
    problems += [f"{where}: {each}" for each in wrong]
    if wrong:
        return None
    return Arrival(
        at=seconds(item.get("at", 0)) or 0.0,
        title=item["title"].strip(),
        agent=item["agent"],
        priority=Priority[item.get("priority", "normal").upper()],
        requests=item.get("requests"),
    )


def _wrong(item: Mapping[object, object]) -> Iterator[str]:
    for key in item:
        if key not in _KEYS:
            yield f"{_shown(key)} is unknown, expected one of {', '.join(_KEYS)}"
    title = item.get("title")
    if not isinstance(title, str) or not 0 < len(title.strip()) <= MAX_TITLE:
        yield f"title is {_shown(title)}, expected a text of up to {MAX_TITLE} characters"
    if not _is_agent(item.get("agent")):
        yield f"agent is {_shown(item.get('agent'))}, expected an agent's id"
    priority = item.get("priority", "normal")
    if priority not in [each.word for each in Priority]:
        yield f"priority is {_shown(priority)}, expected one of {', '.join(each.word for each in Priority)}"
    if seconds(item.get("at", 0)) is None:
        yield f"at is {_shown(item['at'])}, expected the time since the beginning, such as 90m, 2h or 5400"
    requests = item.get("requests", 1)
    if isinstance(requests, bool) or not isinstance(requests, int) or not 1 <= requests <= MOST_REQUESTS:
        yield f"requests is {_shown(requests)}, expected a whole number from 1 to {MOST_REQUESTS}"


def seconds(value: object) -> float | None:
    """`90m`, `2h`, `1.5d`, or a number of seconds; None for anything else."""
    if isinstance(value, str):
        return parse_duration(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 366 * 86_400:
        return None
    return float(value)


def _is_agent(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(agent_name(value))
    except Refused:
        return False


def _shown(value: object) -> str:
    if value is None:
        return "missing"
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
