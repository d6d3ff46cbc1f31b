"""`blackboard` as agents and people call it: from its start to its end, on both ways to the board."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench import processes
from bench.board_store import directory, fill
from bench.table import Figure
from scheduler.blackboard.store import Store
from shared import clock

FULL_TIMES, QUICK_TIMES = 15, 5
MOST_SECONDS: Final = 0.4
MOST_IMPORT_SECONDS: Final = 0.3
LEASE_SECONDS: Final = 3600.0
PROGRAM: Final = Path(sys.executable).with_name("blackboard")
IMPORT: Final = (sys.executable, "-c", "import scheduler.cli.__main__")

Arguments = Callable[[], Sequence[str]]
"""Asked before each call: a task can be claimed once."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way to the board: options of each command, and commands that can be asked that way."""

    name: str
    env: Mapping[str, str]
    commands: Mapping[str, Arguments]


def measure(*, quick: bool, say: Callable[[str], None]) -> list[Figure]:
    """Beside a daemon with nothing to do."""
    times = QUICK_TIMES if quick else FULL_TIMES
    figures = [_import(times, say)]
    with directory() as state_dir, processes.scheduler(state_dir, {}) as server:
        url, artifacts = f"sqlite:///{state_dir / 'blackboard.db'}", state_dir / "artifacts"
        with closing(Store.open(url, artifacts=artifacts, create=False)) as store:
            for way in _ways(store, state_dir, server.url, times):
                for name, arguments in way.commands.items():
                    say(f"blackboard {name}{way.name}, {times} times")
                    figures += _timed(f"{name}{way.name}", way.env, arguments, times)
    return figures


def _import(times: int, say: Callable[[str], None]) -> Figure:
    say("importing the command line")
    processes.command(IMPORT, {})  # compiled once
    seconds = [processes.command(IMPORT, {})[0] for _ in range(times)]
    return Figure.of("a Python that only imports it", seconds, "s", 2, most=MOST_IMPORT_SECONDS)


def _timed(name: str, env: Mapping[str, str], arguments: Arguments, times: int) -> list[Figure]:
    processes.command((str(PROGRAM), *arguments()), env)
    seen = [processes.command((str(PROGRAM), *arguments()), env) for _ in range(times)]
    return [
        Figure.of(name, [wall for wall, _ in seen], "s", 2, most=MOST_SECONDS),
        Figure.of("    of the processor", [cpu for _, cpu in seen], "s", 2),
    ]


def _ways(store: Store, state_dir: Path, url: str, times: int) -> list[Way]:
    mine, *others = fill(store, 1 + 2 * (times + 1))
    free = iter([task.id for task in others])
    claimed = store.claim(mine.id, agent="bench", now=clock.wall(), lease_seconds=LEASE_SECONDS)
    ticket = state_dir / "ticket.json"
    ticket.touch(0o600)
    content = {"url": url, "task": claimed.task.id, "claim": str(claimed.token), "agent": "bench"}
    ticket.write_text(json.dumps(content), encoding="utf-8")
    at_home = {"SCHEDULER_STATE_DIR": str(state_dir), "HOME": str(state_dir)}
    address, pass_ = ("--url", url), ("--ticket", str(ticket))
    claim = ("--claim", str(claimed.token))
    return [
        Way("", {}, {"--version": lambda: ["--version"], "--help": lambda: ["--help"]}),
        Way(
            ", on the database",
            at_home,
            {
                "create": lambda: ["create", "--title", "One more"],
                "list": lambda: ["list"],
                "claim": lambda: ["claim", next(free), "--agent", "bench"],
                "heartbeat": lambda: ["heartbeat", *claim],
                "output": lambda: ["output", "--text", "So far.", *claim],
            },
        ),
        Way(
            ", over HTTP",
            at_home,
            {
                "create": lambda: ["create", "--title", "One more", *address],
                "list": lambda: ["list", *address],
                "claim": lambda: ["claim", next(free), "--agent", "bench", *address],
                "heartbeat": lambda: ["heartbeat", *pass_],
                "output": lambda: ["output", "--text", "So far.", *pass_],
            },
        ),
    ]
