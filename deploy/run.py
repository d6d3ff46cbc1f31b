"""``make run``: the sidecar for the person at this terminal, and NVIDIA's stand-in where there is no key.

The rule: whatever ends, everything ends. Each child is a session of its own, so that Ctrl-C reaches this
program alone, which then stops the children in order, the sidecar before its upstream. One thread per child
reads what it says; everything that happens arrives in one queue, and only the main thread acts on it.

Standard library only: it must be able to explain a broken environment.
"""

import contextlib
import http.client
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DUMMY_KEY = "simulated"  # nvidia-sim takes any
OWN_KEY = (
    "SIDECAR_API_KEY",
    "SIDECAR_API_KEY_FILE",
    "CREDENTIALS_DIRECTORY",  # systemd's, which may hold one
    "SIDECAR_CONFIG",  # likewise
)
START_SECONDS = 30.0
STOP_MARGIN_SECONDS = 5.0  # on top of the time that the sidecar gives to requests in flight
LAST_LINES = 12


@dataclass
class Child:
    """A process of ours. Its reader thread fills ``tail``; the main thread does everything else with it."""

    name: str
    argv: list[str]
    env: dict[str, str]
    started_event: str
    stop_seconds: float = STOP_MARGIN_SECONDS
    quiet: bool = False
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=LAST_LINES))
    code: int | None = None


@dataclass(frozen=True)
class Said:
    child: Child
    line: str


@dataclass(frozen=True)
class Ended:
    child: Child
    code: int


@dataclass(frozen=True)
class Enough:
    """Somebody wants us to stop, or to stop waiting."""


class RunError(Exception):
    """A start or a run that cannot go on; the message is for the person at the terminal."""


class Stopped(BaseException):
    """The ordinary end: Ctrl-C, SIGTERM, a closed terminal. Not an error, so not an Exception."""


class Runner:
    """Owns the children, in the order in which they were started."""

    def __init__(self) -> None:
        self._children: list[tuple[Child, subprocess.Popen[str]]] = []
        # SimpleQueue, because a signal handler's put() may interrupt a get() of the same thread.
        self._events: queue.SimpleQueue[Said | Ended | Enough] = queue.SimpleQueue()

    def enough(self, *_signal: object) -> None:
        self._events.put(Enough())

    def start(self, child: Child) -> str:
        """Start `child` and wait until it says that it serves; returns that line."""
        process = subprocess.Popen(
            child.argv,
            env=child.env,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._children.append((child, process))
        threading.Thread(target=self._read, args=(child, process), daemon=True).start()
        while said := self.wait(START_SECONDS):
            if said.child is child and child.started_event in said.line:
                return said.line
        raise RunError(f"{child.name} did not start within {START_SECONDS:.0f} s")

    def wait(self, seconds: float | None = None) -> Said | None:
        """The next line of any child, None if there was none; what ends the run is raised."""
        match self._next(seconds):
            case Enough():
                raise Stopped
            case Ended(child, code):
                raise RunError(_obituary(child, code))
            case said:
                return said

    def stop(self) -> bool:
        """End the children, the last started first; False if one of them did not end well."""
        for child, process in reversed(self._children):
            # The first SIGTERM lets the sidecar finish what is in flight, the second makes it cut that short.
            for patience in (child.stop_seconds, STOP_MARGIN_SECONDS):
                if child.code is None:
                    process.terminate()
                    self._await_end(child, patience)
            if child.code is None:
                _say(f"{child.name} did not stop and is killed.")
                process.kill()
                child.code = process.wait()
        return all(child.code == 0 for child, _ in self._children)

    def _await_end(self, child: Child, seconds: float) -> None:
        patience = threading.Timer(seconds, self.enough)  # as another Ctrl-C would
        patience.daemon = True
        patience.start()
        while child.code is None:
            if isinstance(self._next(None), Enough):
                break
        patience.cancel()

    def _next(self, seconds: float | None) -> Said | Ended | Enough | None:
        try:
            event = self._events.get(timeout=seconds)
        except queue.Empty:
            return None
        if isinstance(event, Ended):
            event.child.code = event.code
        return event

    def _read(self, child: Child, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            child.tail.append(line.rstrip())
            if not child.quiet:
                _say(line.rstrip())
            self._events.put(Said(child, line))
        self._events.put(Ended(child, process.wait()))


def _obituary(child: Child, code: int) -> str:
    how = f"signal {-code}" if code < 0 else f"code {code}"
    if not child.quiet or not child.tail:
        return f"{child.name} ended with {how}."  # what it said stands above
    last = "\n".join(f"  | {line}" for line in child.tail)
    return f"{child.name} ended with {how}. Its last lines:\n{last}"


def _say(text: str) -> None:
    # Whoever listened may have gone (a closed terminal or pipe); the children are stopped all the same.
    with contextlib.suppress(OSError):
        print(text, flush=True)


def main() -> int:
    runner = Runner()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, runner.enough)
    code = 0
    try:
        _run(runner, os.environ)
    except RunError as error:
        _say(f"make run: {error}")
        code = 1
    except Stopped:
        _say("Stopping; requests in flight are finished first. Ctrl-C again ends at once.")
    finally:
        ended_well = runner.stop()
    return code if ended_well else 1


def _run(runner: Runner, environ: Mapping[str, str]) -> None:
    env = dict(environ)
    if sys.stdout.isatty():
        env.setdefault("SIDECAR_LOG_FORMAT", "console")
    if not env.get("SIDECAR_CONFIG"):  # which may say otherwise, and the environment would win
        env.setdefault("SIDECAR_STATE_DIR", str(ROOT / ".run"))
        env.setdefault("SIDECAR_PORT", "9190")
        env.setdefault("SIDECAR_METRICS_PORT", "9191")
    for variable in ("SIDECAR_PORT", "SIDECAR_METRICS_PORT"):
        _must_be_free(env.get("SIDECAR_HOST", ""), env.get(variable, ""), variable)

    has_key = any(env.get(source) for source in OWN_KEY)
    simulated = ""
    if not has_key and not env.get("SIDECAR_UPSTREAM"):
        simulator = Child(
            "nvidia-sim", _python("proxy.simulator", "--port", "0"), env, "nvidia_sim_started", quiet=True
        )
        simulated = f"http://127.0.0.1:{_number('port', runner.start(simulator))}"
        # In the environment, not on the command line, as a real key would be: `ps` shows command lines.
        env = {**env, "SIDECAR_UPSTREAM": simulated, "SIDECAR_API_KEY": DUMMY_KEY}

    sidecar = Child(
        "The sidecar", _python("proxy"), env, "sidecar_started", _drain_seconds(env) + STOP_MARGIN_SECONDS
    )
    started = runner.start(sidecar)
    host, port = _reachable(env.get("SIDECAR_HOST", "")), _number("port", started)
    for _ in range(100):
        if _healthy(host, port):
            break
        runner.wait(0.1)
    else:
        raise RunError(f"the sidecar does not answer on {host}:{port}/health")
    proxy, metrics = _url(host, port), _url(host, _number("metrics_port", started))
    _say(_what_next(proxy, metrics, simulated, clients_key=not has_key and not simulated))
    while True:
        runner.wait()


def _python(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


def _must_be_free(host: str, port: str, variable: str) -> None:
    """Say it before anything is started. What is not a port at all is the sidecar's to explain."""
    if not port.isdecimal() or not 0 < int(port) < 65536:
        return
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_reachable(host), int(port)))
            probe.listen(1)  # with SO_REUSEADDR only this tells that somebody else listens
        except OSError as error:
            raise RunError(
                f"port {port} cannot be used ({error.strerror}): end what holds it,"
                f" or choose another with {variable}=..."
            ) from error


def _reachable(host: str) -> str:
    """Where this machine reaches what listens on `host`."""
    return "127.0.0.1" if host in ("", "0.0.0.0", "localhost") else host  # noqa: S104 - compared, not bound


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _number(key: str, line: str) -> int:
    """`key` in a log line of either form, JSON or console."""
    found = re.search(rf'\b{key}(?:": ?|=)(\d+)', line)
    if found is None:
        raise RunError(f"no {key} in: {line.strip()}")
    return int(found[1])


def _drain_seconds(env: Mapping[str, str]) -> float:
    try:
        return float(env["SIDECAR_DRAIN_SECONDS"])
    except (KeyError, ValueError):
        return 30.0


def _healthy(host: str, port: int) -> bool:
    # http.client, because urllib would ask a proxy of the environment.
    connection = http.client.HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _what_next(proxy: str, metrics: str, simulated: str, *, clients_key: bool) -> str:
    upstream = (
        f"SIMULATED UPSTREAM: nvidia-sim ({simulated}) plays NVIDIA's API, no real model is called;\n"
        "with SIDECAR_API_KEY in the environment the real one is."
        if simulated
        else "Requests go to the real upstream and spend its budget."
    )
    # The block depends on the settings that this sidecar runs with; others stand in the environment already.
    in_front = f"SIDECAR_API_KEY={DUMMY_KEY} " if simulated else ""
    key = """ \\\n    -H "Authorization: Bearer $NVIDIA_API_KEY\"""" if clients_key else ""
    return f"""
The sidecar serves on {proxy}
{upstream}

Try it:
  curl -sS {proxy}/v1/chat/completions -H 'Content-Type: application/json'{key} \\
    -d '{{"model": "deepseek-ai/deepseek-v3", "messages": [{{"role": "user", "content": "Hello!"}}]}}'

Budget    {proxy}/status
Metrics   {metrics}/metrics
OpenClaw  {in_front}.venv/bin/nvidia-sidecar openclaw-config
          (docs/openclaw.md says where it goes)
Settings  docs/settings.md
Ctrl-C stops everything.
"""


if __name__ == "__main__":
    sys.exit(main())
