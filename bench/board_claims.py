"""Durable claims: in one process as the daemon and the API make them, and in fifteen at once."""

import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from statistics import median
from typing import Any

import trio

from bench.board_store import Place, fill, percentile
from bench.processes import ROOT
from bench.table import Figure
from scheduler.blackboard.board import Board
from scheduler.blackboard.queries import TaskQuery
from scheduler.blackboard.store import Store
from scheduler.core.states import Status
from shared import clock

CLIENTS = 15
FULL_ROUNDS, QUICK_ROUNDS = 5, 3
FULL_CLAIMS, QUICK_CLAIMS = 100, 50  # of each client in each round
LEASE_SECONDS = 1800.0
LEAST_PER_SECOND = 1_500.0

Claim = Callable[[Board, str], Awaitable[object]]
Shares = Sequence[Sequence[str]]


def measure(place: Place, *, quick: bool, say: Callable[[str], None]) -> list[Figure]:
    """All rounds on one board, which grows."""
    rounds, each = (QUICK_ROUNDS, QUICK_CLAIMS) if quick else (FULL_ROUNDS, FULL_CLAIMS)
    by_id, cpu, next_one, alone, rates, waits = [], [], [], [], [], []
    with place.board() as (store, url):
        for number in range(rounds):
            say(f"{place.name}: claims from one process, round {number + 1} of {rounds}")
            shares, before = _fresh(store, each), time.process_time()
            by_id.append(trio.run(_together, store, shares, _claim))
            cpu.append(1000 * (time.process_time() - before) / (CLIENTS * each))
            next_one.append(trio.run(_together, store, _fresh(store, each), _next))
            alone += trio.run(_alone, store, [task.id for task in fill(store, each)])
            say(f"{place.name}: claims from {CLIENTS} processes, round {number + 1} of {rounds}")
            rate, milliseconds = _in_many(store, url, _fresh(store, each))
            rates.append(rate)
            waits += milliseconds
        _check(store)
    return [
        Figure.of("claims/s, one process", by_id, "", 0, least=LEAST_PER_SECOND),
        Figure.of("processor time per claim", cpu, "ms", 2),
        Figure.of("claims of whatever is next/s, one process", next_one, "", 0),
        Figure("claim, one at a time, p50", median(alone), "ms", 2),
        Figure("claim, one at a time, p99", percentile(alone, 0.99), "ms", 2),
        Figure.of(f"claims/s, {CLIENTS} processes", rates, "", 0, least=LEAST_PER_SECOND),
        Figure(f"claim, {CLIENTS} processes at once, p50", median(waits), "ms", 2),
        Figure(f"claim, {CLIENTS} processes at once, p99", percentile(waits, 0.99), "ms", 2),
    ]


def _fresh(store: Store, each: int) -> Shares:
    """Tasks that nobody has claimed yet, for each client as many."""
    tasks = [task.id for task in fill(store, CLIENTS * each)]
    return [tasks[index::CLIENTS] for index in range(CLIENTS)]


async def _together(store: Store, shares: Shares, claim: Claim) -> float:
    """Claims per second, of as many clients at once as there are shares."""
    board = Board(store)

    async def client(mine: Sequence[str]) -> None:
        for task in mine:
            await claim(board, task)

    begun = trio.current_time()
    async with trio.open_nursery() as nursery:
        for share in shares:
            nursery.start_soon(client, share)
    return sum(map(len, shares)) / (trio.current_time() - begun)


async def _alone(store: Store, tasks: Sequence[str]) -> list[float]:
    board, seen = Board(store), []
    for task in tasks:
        begun = trio.current_time()
        await _claim(board, task)
        seen.append(1000 * (trio.current_time() - begun))
    return seen


async def _claim(board: Board, task: str) -> object:
    return await board.write(Store.claim, task, agent="bench", now=clock.wall(), lease_seconds=LEASE_SECONDS)


async def _next(board: Board, _task: str) -> object:
    return await board.write(Store.claim_next, agent="bench", now=clock.wall(), lease_seconds=LEASE_SECONDS)


def _in_many(store: Store, url: str, shares: Shares) -> tuple[float, list[float]]:
    """Claims per second, and the milliseconds of each."""
    told = _run(shares, partial(_given, store, url))
    seconds = max(one["ended"] for one in told) - min(one["began"] for one in told)
    waits = [wait for one in told for wait in one["milliseconds"]]
    return len(waits) / seconds, waits


def _given(store: Store, url: str, tasks: Sequence[str]) -> bytes:
    # Not on its command line: the address has a password in it.
    given = {"url": url, "artifacts": str(store.artifacts), "tasks": tasks, "lease_seconds": LEASE_SECONDS}
    return json.dumps(given).encode() + b"\n"


def _run(shares: Shares, given: Callable[[Sequence[str]], bytes]) -> list[dict[str, Any]]:
    """One process per share; all begin at once, when the last of them has its board open."""
    argv = [sys.executable, "-m", "bench.board_claimer"]
    processes = [
        subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in shares
    ]
    try:
        for process, share in zip(processes, shares, strict=True):
            assert process.stdin is not None
            process.stdin.write(given(share))
            process.stdin.flush()
        for process in processes:
            assert process.stdout is not None
            if process.stdout.readline() != b"ready\n":
                raise RuntimeError(f"a claimer ended with {process.wait()}")
        for process in processes:
            assert process.stdin is not None
            process.stdin.write(b"go\n")
            process.stdin.flush()
        return [json.loads(process.communicate()[0]) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _check(store: Store) -> None:
    """What was acknowledged is there, once."""
    waiting = store.tasks(TaskQuery(statuses=(Status.PENDING,), limit=1)).tasks
    if waiting:
        raise RuntimeError(f"{waiting[0].id} was claimed, and waits")
