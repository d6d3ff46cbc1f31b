"""The processes of a benchmark: started, pinned to a core, looked at in /proc, ended by their pid.

Two cores make the difference between a measurement and a guess: the server under test has one for itself,
what it talks to and what drives it share the other. Where the machine cannot pin (macOS, one core) everything
runs where it likes, and the tables say so.
"""

import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

ROOT: Final = Path(__file__).resolve().parent.parent
OUT: Final = ROOT / "bench" / "out"
START_SECONDS: Final = 30.0
STOP_SECONDS: Final = 40.0
LOOK_SECONDS: Final = 0.005
TICKS: Final = os.sysconf("SC_CLK_TCK")

UNLIMITED: Final = {"SIDECAR_RATE_RPM": "1000000", "SIDECAR_BUCKET_CAPACITY": "1000000"}


def cores() -> tuple[int, int] | None:
    """The core of the server under test and the core of all others; None where nothing can be pinned."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    usable = sorted(os.sched_getaffinity(0))
    return (usable[0], usable[1]) if len(usable) > 1 else None


@dataclass
class Server:
    """A process that serves at `url` (without `/v1`)."""

    process: subprocess.Popen[bytes]
    url: str = ""

    def cpu_seconds(self) -> float:
        """User and system time since its start."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def memory_mb(self, what: str = "VmRSS") -> float:
        """Resident memory; `VmHWM` is the most there ever was."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(what)) / 1024


@contextmanager
def stub() -> Iterator[Server]:
    """The stub upstream, on the core of the others."""
    port = _free_port()
    process = _start([str(_compiled_stub()), str(port)], {}, subprocess.DEVNULL, core=1)
    with _ended(process):
        server = Server(process, f"http://127.0.0.1:{port}")
        _until_answered(process, server.url)
        yield server


@contextmanager
def sidecar(upstream: str, settings: Mapping[str, str]) -> Iterator[Server]:
    """A sidecar on a core of its own, with a state directory that nobody has used before."""
    with tempfile.TemporaryDirectory(prefix="clawpace-bench-") as directory:
        env = sidecar_env(upstream, directory, settings)
        with _logged([sys.executable, "-m", "proxy"], env, Path(directory), "sidecar_started", 0) as server:
            yield server


@contextmanager
def simulator(*options: str) -> Iterator[Server]:
    """`nvidia-sim` on a free port."""
    with tempfile.TemporaryDirectory(prefix="clawpace-bench-") as directory:
        argv = [sys.executable, "-m", "proxy.simulator", "--port", "0", *options]
        with _logged(argv, {}, Path(directory), "nvidia_sim_started", 1) as server:
            yield server


@contextmanager
def scheduler(state_dir: Path, settings: Mapping[str, str]) -> Iterator[Server]:
    """A scheduler that plays its agents itself and asks no sidecar. It may be killed within its block."""
    env = scheduler_env(state_dir, settings)
    with _logged([sys.executable, "-m", "scheduler"], env, state_dir, "scheduler_started", 0) as server:
        yield server


def scheduler_env(state_dir: Path, settings: Mapping[str, str]) -> dict[str, str]:
    """The settings of a scheduler that a benchmark starts; `settings` add or replace."""
    return {
        "SCHEDULER_PORT": "0",
        "SCHEDULER_METRICS_PORT": "0",
        "SCHEDULER_ALERT_PORT": "",
        "SCHEDULER_RUNNER": "demo",
        "SCHEDULER_SIDECAR_URL": "",
        "SCHEDULER_STATE_DIR": str(state_dir),
        "HOME": str(state_dir),
        **settings,
    }


def sidecar_env(upstream: str, directory: str, settings: Mapping[str, str]) -> dict[str, str]:
    """The settings of a sidecar that a benchmark starts; `settings` add or replace."""
    return {
        "SIDECAR_PORT": "0",
        "SIDECAR_METRICS_PORT": "0",
        "SIDECAR_UPSTREAM": upstream,
        "SIDECAR_API_KEY": "nvapi-of-the-benchmark",
        "SIDECAR_STATE_DIR": directory,
        "HOME": directory,
        **settings,
    }


def start_to_first_200(upstream: str) -> float:
    """Seconds from starting a sidecar's process to its first proxied 200."""
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="clawpace-bench-") as directory:
        env = sidecar_env(upstream, directory, {**UNLIMITED, "SIDECAR_PORT": str(port)})
        begun = time.perf_counter()
        process = _start([sys.executable, "-m", "proxy"], env, subprocess.DEVNULL, core=0)
        with _ended(process):
            _until_answered(process, f"http://127.0.0.1:{port}")
            return time.perf_counter() - begun


def start_to_healthy(state_dir: Path) -> float:
    """Seconds from starting a scheduler's process to the first 200 on `/health`."""
    port = _free_port()
    env = scheduler_env(state_dir, {"SCHEDULER_PORT": str(port)})
    begun = time.perf_counter()
    process = _start([sys.executable, "-m", "scheduler"], env, subprocess.DEVNULL, core=0)
    with _ended(process):
        _until_200(process, lambda client: client.get(f"http://127.0.0.1:{port}/health"))
        return time.perf_counter() - begun


def command(argv: Sequence[str], env: Mapping[str, str]) -> tuple[float, float]:
    """Run it to its end, on the core of the server under test: seconds by the wall, and of the processor."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.perf_counter()
    code = _start(argv, env, subprocess.DEVNULL, core=0).wait()
    seconds = time.perf_counter() - begun
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if code != 0:
        raise RuntimeError(f"{argv!r} ended with {code}")
    return seconds, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def version_seconds() -> float:
    """Seconds for `nvidia-sidecar --version`: interpreter, imports, command line."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-m", "proxy", "--version"], cwd=ROOT, check=True, capture_output=True)
    return time.perf_counter() - begun


def drive(mode: str, url: str, *options: str) -> dict[str, Any]:
    """Run `bench.drive` on the core of the others."""
    return _results([sys.executable, "-m", "bench.drive", mode, url, *options], "")


def saturate(url: str, seconds: float) -> dict[str, Any]:
    """As many requests as 32 connections can get answered: with wrk where there is one."""
    wrk = shutil.which("wrk")
    if wrk is None:
        return drive("closed", url, "--seconds", str(seconds))
    script = str(ROOT / "bench" / "post.lua")
    return _results([wrk, "-t1", "-c32", f"-d{seconds:.0f}", "-s", script, url], "RESULT ")


def _results(argv: Sequence[str], marker: str) -> dict[str, Any]:
    process = _start(argv, {}, subprocess.PIPE, core=1)
    output, _ = process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"{argv[0]} ended with {process.returncode}")
    last = output.decode().strip().splitlines()[-1]
    results: dict[str, Any] = json.loads(last.removeprefix(marker))
    return results


@contextmanager
def _logged(
    argv: Sequence[str], env: Mapping[str, str], directory: Path, event: str, core: int
) -> Iterator[Server]:
    """A process that says in a JSON line of `event` where it serves."""
    log = directory / "log"
    with log.open("wb") as output:
        process = _start(argv, env, output, core=core)
    with _ended(process):
        end = time.perf_counter() + START_SECONDS
        while True:
            lines = [json.loads(line) for line in log.read_text(encoding="utf-8").split("\n")[:-1]]
            told = next((line for line in lines if line.get("event") == event), None)
            if told is not None:
                url = told.get("url") or f"http://{told['host']}:{told['port']}"
                yield Server(process, str(url).removesuffix("/v1"))
                return
            _check(process, end)


def _start(argv: Sequence[str], env: Mapping[str, str], output: Any, *, core: int) -> subprocess.Popen[bytes]:
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    process = subprocess.Popen(
        argv,
        cwd=ROOT,
        env={**kept, **env},
        stdin=subprocess.DEVNULL,
        stdout=output,
        start_new_session=True,  # Ctrl-C reaches the benchmark alone, which then ends its processes in order
    )
    if (pins := cores()) is not None:
        os.sched_setaffinity(process.pid, {pins[core]})
    return process


@contextmanager
def _ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _until_answered(process: subprocess.Popen[bytes], url: str) -> None:
    """The first 200 to a chat request."""
    chat = f"{url}/v1/chat/completions"
    _until_200(process, lambda client: client.post(chat, json={"model": "stub"}))


def _until_200(process: subprocess.Popen[bytes], request: Callable[[httpx.Client], httpx.Response]) -> None:
    """A new connection per try, as a client that comes early would."""
    end = time.perf_counter() + START_SECONDS
    with httpx.Client(trust_env=False) as client:
        while True:
            try:
                if request(client).status_code == 200:
                    return
            except httpx.TransportError:
                _check(process, end)


def _check(process: subprocess.Popen[bytes], end: float) -> None:
    if process.poll() is not None:
        raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
    if time.perf_counter() > end:
        raise RuntimeError(f"{process.args!r} did not serve within {START_SECONDS:.0f} s")
    time.sleep(LOOK_SECONDS)


def _compiled_stub() -> Path:
    """`stub.c`, compiled once per change of it."""
    source, binary = ROOT / "bench" / "stub.c", OUT / "stub"
    if not binary.exists() or binary.stat().st_mtime < source.stat().st_mtime:
        compiler = shutil.which("cc")
        if compiler is None:
            raise RuntimeError(
                "the stub upstream needs a C compiler: apt install gcc, or xcode-select --install"
            )
        OUT.mkdir(exist_ok=True)
        subprocess.run([compiler, "-O2", "-o", str(binary), str(source)], check=True)
    return binary


def _free_port() -> int:
    """A port that is free now. For programs that cannot tell which one they were given."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port
