"""Fifteen agents, each a process of its own, empty one board: everything is claimed, nothing twice."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from scheduler.core.states import Status
from scheduler.core.task import Draft, Priority
from tests.integration.processes import INHERITED, ROOT
from tests.integration.scheduler.boards import opened, sqlite_url

pytestmark = [pytest.mark.integration, pytest.mark.needs("minutes")]

CLAIMERS = 15
TASKS = 2_000
SECONDS = 120.0  # a limit for a hung test, not a measure

CLAIMER = """
import json, sys
from pathlib import Path
from scheduler.blackboard.store import Store
from scheduler.core.errors import Code, Refused

url, directory, agent = sys.argv[1:]
store = Store.open(url, artifacts=Path(directory), create=False, pool_size=1, max_overflow=0, busy_seconds=60)
print("ready", flush=True)
sys.stdin.readline()
claimed = []
try:
    while True:
        claimed.append(str(store.claim_next(agent=agent, now=1e6, lease_seconds=3600.0).token))
except Refused as refused:
    assert refused.code is Code.NOTHING_CLAIMABLE, refused
store.close()
print(json.dumps(claimed))
"""


def test_fifteen_processes_claim_two_thousand_tasks_from_sqlite(tmp_path: Path) -> None:
    empty_the_board(sqlite_url(tmp_path), tmp_path)


@pytest.mark.needs("postgresql")
def test_fifteen_processes_claim_two_thousand_tasks_from_postgresql(
    tmp_path: Path, postgres_url: str
) -> None:
    empty_the_board(postgres_url, tmp_path)


def empty_the_board(url: str, directory: Path) -> None:
    with opened(url, directory) as store:
        for number in range(TASKS):
            store.create(Draft(f"task {number}", priority=Priority(number % 4)), who="me", now=float(number))
        tokens = run_claimers(url, directory)
        claimed = [token.rpartition(".")[0] for each in tokens.values() for token in each]
        assert sorted(claimed) == sorted(f"T-{number:04d}.1" for number in range(1, TASKS + 1))
        held = store.snapshot().held
        assert Counter(task.claimant for task in held) == Counter(
            {agent: len(each) for agent, each in tokens.items()}
        )
        assert store.counts()[Status.CLAIMED] == TASKS
        numbers = [number for number, _ in store.events_after(0, limit=10 * TASKS)]
        assert len(numbers) == len(set(numbers)) == 2 * TASKS


def run_claimers(url: str, directory: Path) -> dict[str, Sequence[str]]:
    """What each was given, by agent."""
    env = {name: os.environ[name] for name in INHERITED if name in os.environ}
    claimers = {}
    for number in range(CLAIMERS):
        agent = f"agent-{number}"
        with (directory / f"{agent}.errors").open("wb") as errors:
            claimers[agent] = subprocess.Popen(
                [sys.executable, "-c", CLAIMER, url, str(directory), agent],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=ROOT,
                env=env,
                text=True,
            )
    try:
        for claimer in claimers.values():
            assert claimer.stdout is not None
            assert claimer.stdout.readline() == "ready\n"
        # All at once, and not one after the other as they happen to be ready.
        said = {}
        for claimer in claimers.values():
            assert claimer.stdin is not None
            claimer.stdin.write("go\n")
            claimer.stdin.flush()
        for agent, claimer in claimers.items():
            out, _ = claimer.communicate(timeout=SECONDS)
            assert claimer.returncode == 0, (directory / f"{agent}.errors").read_text()
            said[agent] = json.loads(out)
        return said
    finally:
        for claimer in claimers.values():
            claimer.kill()
            claimer.wait()
