"""A scheduler as a process: how soon it serves, what it costs while nothing happens, how it comes back."""

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from bench import processes
from bench.board_store import directory, fill
from bench.table import Figure
from scheduler.blackboard.store import Store
from scheduler.core.records import Run
from scheduler.core.states import Status
from scheduler.core.task import Task

FULL_IDLE_SECONDS, QUICK_IDLE_SECONDS = 60.0, 10.0
FULL_ROUNDS, QUICK_ROUNDS = 5, 2
AGENTS = tuple(f"agent-{number}" for number in range(6))
WAIT_SECONDS = 30.0
LOOK_SECONDS = 0.01
ONE_BY_ONE = {"SCHEDULER_SPAWN_SPACING_SECONDS": "600"}
"""The first run is started, and the others stay what is intended."""
AT_ONCE = {"SCHEDULER_SPAWN_SPACING_SECONDS": "0"}


def measure(*, quick: bool, say: Callable[[str], None]) -> list[Figure]:
    """On SQLite: the daemon itself is the same on both."""
    rounds = QUICK_ROUNDS if quick else FULL_ROUNDS
    idle = QUICK_IDLE_SECONDS if quick else FULL_IDLE_SECONDS
    return [*_starts(rounds, say), *_idle(idle, say), *_recoveries(rounds, say)]


def _starts(rounds: int, say: Callable[[str], None]) -> list[Figure]:
    new, again = [], []
    for number in range(rounds):
        say(f"starting it, round {number + 1} of {rounds}")
        with directory() as state_dir:
            new.append(processes.start_to_healthy(state_dir))
            again.append(processes.start_to_healthy(state_dir))
    return [
        Figure.of("start to the first 200 on /health", again, "s", 2, most=1.0),
        Figure.of("the first start of all, which makes the board", new, "s", 2),
    ]


def _idle(seconds: float, say: Callable[[str], None]) -> list[Figure]:
    with directory() as state_dir, processes.scheduler(state_dir, {}) as server:
        time.sleep(2.0)  # the start is over, and its first tick
        say(f"leaving it alone for {seconds:.0f} s")
        before = server.cpu_seconds()
        time.sleep(seconds)
        share = 100 * (server.cpu_seconds() - before) / seconds
        return [
            Figure("processor, idle", share, "%", 2),
            Figure("memory, idle", server.memory_mb(), "MB", 0),
        ]


def _recoveries(rounds: int, say: Callable[[str], None]) -> list[Figure]:
    """`kill -9` with claims committed whose runs are not started yet; the next process starts them."""
    seconds = []
    for number in range(rounds):
        say(f"killing it and starting it again, round {number + 1} of {rounds}")
        with directory() as state_dir:
            seconds.append(_recovery(state_dir))
    runs = len(AGENTS) - 1
    return [Figure.of(f"after kill -9: from its start until {runs} runs are started", seconds, "s", 2)]


def _recovery(state_dir: Path) -> float:
    url, artifacts = f"sqlite:///{state_dir / 'blackboard.db'}", state_dir / "artifacts"
    with closing(Store.open(url, artifacts=artifacts)) as store:
        tasks = fill(store, len(AGENTS), AGENTS)
        with processes.scheduler(state_dir, ONE_BY_ONE) as server:
            _until(lambda: all(store.task(task.id).status is not Status.PENDING for task in tasks))
            _until(lambda: any(not _intended(store, task) for task in tasks))
            server.process.kill()
            server.process.wait()
        left = [task for task in tasks if _intended(store, task)]
        if len(left) != len(AGENTS) - 1:
            raise RuntimeError(f"{len(left)} runs are intended, not {len(AGENTS) - 1}")
        begun = time.perf_counter()
        with processes.scheduler(state_dir, AT_ONCE):
            _until(lambda: not any(_intended(store, task) for task in left))
            return time.perf_counter() - begun


def _intended(store: Store, task: Task) -> bool:
    attempt = store.attempt(task.id, 1)
    return attempt is not None and attempt.run is Run.INTENDED


def _until(seen: Callable[[], bool]) -> None:
    end = time.perf_counter() + WAIT_SECONDS
    while not seen():
        if time.perf_counter() > end:
            raise RuntimeError("the scheduler did not do what was waited for")
        time.sleep(LOOK_SECONDS)
