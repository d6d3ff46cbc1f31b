"""What the sidecar adds to a request: the same load straight at the stub and through it, in turn.

Everything the product does is on (budget, queue, stamps, metrics, one log line per request, into a file);
only the limit is out of reach.
"""

from collections.abc import Callable
from statistics import median
from time import sleep

from bench import processes
from bench.processes import UNLIMITED, Server
from bench.table import Figure, print_figures

RATES = (50, 200)
FULL_ROUNDS, QUICK_ROUNDS = 5, 2
IDLE_SECONDS = 10.0


def measure(*, quick: bool, say: Callable[[str], None]) -> list[Figure]:
    """Run it, print it, and return the figures."""
    rounds, seconds = (QUICK_ROUNDS, 2.0) if quick else (FULL_ROUNDS, 5.0)
    with processes.stub() as stub:
        figures = _starts(stub, 3 if quick else 5, say)
        with processes.sidecar(stub.url, UNLIMITED) as sidecar:
            figures += _idle(sidecar, IDLE_SECONDS if not quick else 3.0, say)
            figures += _saturated(stub, sidecar, rounds, seconds, say)
            figures += _added(stub, sidecar, rounds, seconds, say)
            figures.append(Figure("memory after all that", sidecar.memory_mb(), "MB", 0))
    print_figures("Overhead: through the sidecar, against the same load direct", figures)
    return figures


def _starts(stub: Server, times: int, say: Callable[[str], None]) -> list[Figure]:
    say("starting it a few times")
    first = median(processes.start_to_first_200(stub.url) for _ in range(times))
    version = median(processes.version_seconds() for _ in range(times))
    return [
        Figure("start to the first 200", first, "s", 2, most=1.0),
        Figure("nvidia-sidecar --version", version, "s", 2, most=0.3),
    ]


def _idle(sidecar: Server, seconds: float, say: Callable[[str], None]) -> list[Figure]:
    say(f"leaving it alone for {seconds:.0f} s")
    sleep(1.0)  # the start is over
    before = sidecar.cpu_seconds()
    sleep(seconds)
    share = 100 * (sidecar.cpu_seconds() - before) / seconds
    return [
        Figure("idle CPU", share, "%", 1, most=0.0),
        Figure("memory, idle", sidecar.memory_mb(), "MB", 0),
    ]


def _saturated(
    stub: Server, sidecar: Server, rounds: int, seconds: float, say: Callable[[str], None]
) -> list[Figure]:
    per_second, cpu_ms, direct = [], [], []
    failed = 0
    processes.saturate(sidecar.url, 1)  # warm
    for number in range(rounds):
        say(f"saturated, round {number + 1} of {rounds}")
        seen = processes.saturate(stub.url, 1)
        direct.append(seen["requests"] / seen["seconds"])
        before = sidecar.cpu_seconds()
        seen = processes.saturate(sidecar.url, seconds)
        per_second.append(seen["requests"] / seen["seconds"])
        cpu_ms.append(1000 * (sidecar.cpu_seconds() - before) / seen["requests"])
        failed += seen["failed"]
    return [
        Figure("requests/s, 32 connections", median(per_second), "", 0, least=1500),
        Figure("CPU per request", median(cpu_ms), "ms", 2, most=0.7),
        Figure("CPU per request, quietest round", min(cpu_ms), "ms", 2),
        Figure("failed", failed, "", 0, most=0),
        Figure("requests/s of the stub, direct", median(direct), "", 0),
    ]


def _added(
    stub: Server, sidecar: Server, rounds: int, seconds: float, say: Callable[[str], None]
) -> list[Figure]:
    figures = []
    for rate in RATES:
        options = ("--rate", str(rate), "--seconds", str(seconds))
        direct, through, failed = [], [], 0
        for number in range(rounds):
            say(f"{rate} requests/s, round {number + 1} of {rounds}")
            direct.append(processes.drive("fixed", stub.url, *options)["p50_ms"])
            seen = processes.drive("fixed", sidecar.url, *options)
            through.append(seen["p50_ms"])
            failed += seen["failed"]
        added = median(after - before for before, after in zip(direct, through, strict=True))
        figures.append(Figure(f"added p50 at {rate} requests/s", added, "ms", 2, most=1.5))
        figures.append(Figure(f"failed at {rate} requests/s", failed, "", 0, most=0))
    return figures
