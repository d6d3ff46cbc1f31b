"""``python -m bench``, which is ``make bench``."""

import argparse
import importlib
import json
import os
import platform
import statistics
import subprocess
import time
import timeit
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from bench import board, budget, overhead, processes, streams
from bench.table import Figure
from shared import clock

PARTS = ("overhead", "streams", "budget", "core", "board")
LIBRARIES = ("trio", "hypercorn", "h11", "httpcore", "httpx", "msgspec", "sqlalchemy", "psycopg")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description="What it costs, measured.")
    parser.add_argument("--only", choices=PARTS, help="one part of it")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds: about three minutes")
    parser.add_argument("--real", action="store_true", help="the budget in windows of 60 s: eleven minutes")
    options = parser.parse_args()
    machine = _machine()
    print(" | ".join(f"{name}: {value}" for name, value in machine.items()), flush=True)
    runs: dict[str, Callable[[], list[Figure]]] = {
        "overhead": lambda: overhead.measure(quick=options.quick, say=_say),
        "streams": lambda: streams.measure(quick=options.quick, say=_say),
        "budget": lambda: _budget(quick=options.quick, real=options.real),
        "core": _core,
        "board": lambda: board.measure(quick=options.quick, say=_say),
    }
    chosen = [options.only] if options.only else list(PARTS)
    results = {part: [figure.as_json() for figure in runs[part]()] for part in chosen}
    print(f"Kept in {_keep({'machine': machine, 'results': results})}")


def _budget(*, quick: bool, real: bool) -> list[Figure]:
    if real:
        return budget.measure(window=60, windows=10, say=_say)
    return budget.measure(window=6, windows=4 if quick else 10, say=_say)


def _core() -> list[Figure]:
    """The engine alone; it prints its own table."""
    if find_spec("bench.budget_simulation") is None:
        print("There is no simulation of the core here.")
        return []
    _say("hours of traffic through the core alone")
    importlib.import_module("bench.budget_simulation").main()
    return []


def _say(text: str) -> None:
    """Where it is, for whoever waits for it."""
    print(f"  ... {text}", flush=True)


def _machine() -> dict[str, str]:
    pins = processes.cores()
    return {
        "date": clock.rfc3339(clock.wall()),
        "commit": _commit(),
        "cpu": f"{os.cpu_count()} x {_cpu_name()}",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "speed": f"{_speed_ms():.1f} ms for a million additions",
        "load before": " ".join(f"{load:.2f}" for load in os.getloadavg()),
        "pinned": "yes" if pins else "no",
        "libraries": ", ".join(f"{name} {version(name)}" for name in LIBRARIES),
    }


def _speed_ms() -> float:
    """How fast this machine is just now, for comparing two runs: it has neighbours, and moods."""
    return 1000 * statistics.median(timeit.repeat("sum(range(1_000_000))", number=1, repeat=15))


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="ascii", errors="replace").splitlines() if info.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _commit() -> str:
    told = subprocess.run(
        ["git", "describe", "--always", "--dirty"],  # noqa: S607 - the git of whoever runs this
        cwd=processes.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return told.stdout.strip() or "unknown"


def _keep(results: dict[str, object]) -> Path:
    processes.OUT.mkdir(exist_ok=True)
    path = processes.OUT / time.strftime("%Y-%m-%dT%H-%M-%SZ.json", time.gmtime())
    path.write_text(json.dumps(results, indent=1), encoding="utf-8")
    return path.relative_to(processes.ROOT)


if __name__ == "__main__":
    main()
