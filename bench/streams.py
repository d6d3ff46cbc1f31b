"""Event streams through the sidecar: how much later the first chunk comes, and a thousand of them at once."""

from collections.abc import Callable
from statistics import median
from typing import Any

import httpx

from bench import processes
from bench.processes import UNLIMITED, Server
from bench.table import Figure, print_figures

FULL_ROUNDS, QUICK_ROUNDS = 5, 2
MANY = 1000


def measure(*, quick: bool, say: Callable[[str], None]) -> list[Figure]:
    """Run it, print it, and return the figures."""
    with processes.stub() as stub:
        figures = _first_chunk(stub, QUICK_ROUNDS if quick else FULL_ROUNDS, say)
        figures += _chunks(stub, say)
        figures += _many(stub, say)
    print_figures("Event streams through the sidecar", figures)
    return figures


def _first_chunk(stub: Server, rounds: int, say: Callable[[str], None]) -> list[Figure]:
    """Ten streams a second, chunks every 50 ms."""
    _set(stub, "delay=20&chunks=20&gap=50")
    direct, through = [], []
    with processes.sidecar(stub.url, UNLIMITED) as sidecar:
        for number in range(rounds):
            say(f"time to the first chunk, round {number + 1} of {rounds}")
            direct.append(_stream(stub, 30, 3))
            through.append(_stream(sidecar, 30, 3))
    return [
        Figure("added to the first chunk, p50", _added(direct, through, "first_chunk"), "ms", 2, most=3.0),
        Figure("added to every chunk, p50", _added(direct, through, "chunk_delay"), "ms", 2),
    ]


def _chunks(stub: Server, say: Callable[[str], None]) -> list[Figure]:
    """Fifty streams of a hundred chunks, opened over four seconds: 1,250 chunks a second."""
    say("the cost of a chunk")
    _set(stub, "delay=0&chunks=100&gap=20")
    with processes.sidecar(stub.url, UNLIMITED) as sidecar:
        before = sidecar.cpu_seconds()
        _stream(sidecar, 50, 4)
        milliseconds = 1000 * (sidecar.cpu_seconds() - before)
    return [Figure("CPU per chunk", milliseconds / (50 * 100), "ms", 2)]


def _many(stub: Server, say: Callable[[str], None]) -> list[Figure]:
    """All held for seven seconds while the last ones are opened: 500 chunks a second in all."""
    say(f"{MANY:,} streams at once")
    _set(stub, "delay=20&chunks=7&gap=2000")
    with processes.sidecar(stub.url, UNLIMITED) as sidecar:
        before = sidecar.memory_mb()
        seen = _stream(sidecar, MANY, 5)
        most = sidecar.memory_mb("VmHWM")
    return [
        Figure(f"of {MANY:,} streams, whole", seen["whole"], "", 0, least=MANY),
        Figure("memory with them", most, "MB", 0, most=90),
        Figure("memory per stream", (most - before) * 1024 / MANY, "kB", 0),
        Figure("chunk delay with them, p50", seen["chunk_delay"]["p50_ms"], "ms", 2),
    ]


def _stream(server: Server, streams: int, ramp: float) -> dict[str, Any]:
    return processes.drive("stream", server.url, "--streams", str(streams), "--ramp", str(ramp))


def _added(direct: list[dict[str, Any]], through: list[dict[str, Any]], what: str) -> float:
    pairs = zip(direct, through, strict=True)
    added: float = median(after[what]["p50_ms"] - before[what]["p50_ms"] for before, after in pairs)
    return added


def _set(stub: Server, numbers: str) -> None:
    httpx.get(f"{stub.url}/set?{numbers}", trust_env=False).raise_for_status()
