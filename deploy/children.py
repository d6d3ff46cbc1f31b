"""Several processes under one terminal: started one after the other, read side by side, ended together.

The rule: whatever ends, everything ends. Each child is a session of its own, so that Ctrl-C reaches this
program alone, which then stops the children in order, each before what it asks. One thread per child reads
what it says; everything that happens arrives in one queue, and only the main thread acts on it.
"""

import contextlib
import queue
import subprocess
import threading
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 30.0
STOP_MARGIN_SECONDS = 5.0
HURRIED_SECONDS = 0.5
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


@dataclass(frozen=True)
class Waited:
    """A child had its time to end."""


class RunError(Exception):
    """A start or a run that cannot go on; the message is for the person at the terminal."""


class Stopped(BaseException):
    """The ordinary end: Ctrl-C, SIGTERM, a closed terminal. Not an error, so not an Exception."""


class Runner:
    """Owns the children, in the order in which they were started."""

    def __init__(self) -> None:
        self._children: list[tuple[Child, subprocess.Popen[str]]] = []
        # SimpleQueue, because a signal handler's put() may interrupt a get() of the same thread.
        self._events: queue.SimpleQueue[Said | Ended | Enough | Waited] = queue.SimpleQueue()

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
            case Enough() | Waited():
                raise Stopped
            case Ended(child, code):
                raise RunError(_obituary(child, code))
            case said:
                return said

    def stop(self) -> bool:
        """End the children, the last started first; False if one of them did not end well."""
        hurried = False  # somebody has asked again: that goes for every child that is left
        for child, process in reversed(self._children):
            # The first SIGTERM lets a child finish what is in flight, the second makes it cut that short.
            for patience in (HURRIED_SECONDS if hurried else child.stop_seconds, STOP_MARGIN_SECONDS):
                if child.code is None:
                    process.terminate()
                    hurried |= self._await_end(child, patience)
            if child.code is None:
                say(f"{child.name} did not stop and is killed.")
                process.kill()
                child.code = process.wait()
        return all(child.code == 0 for child, _ in self._children)

    def _await_end(self, child: Child, seconds: float) -> bool:
        """Whether somebody did not want to wait for so long."""
        waited = Waited()
        patience = threading.Timer(seconds, self._events.put, (waited,))
        patience.daemon = True
        patience.start()
        asked_again = False
        while child.code is None:
            event = self._next(None)
            asked_again = isinstance(event, Enough)
            if asked_again or event is waited:
                break
        patience.cancel()
        return asked_again

    def _next(self, seconds: float | None) -> Said | Ended | Enough | Waited | None:
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
                say(line.rstrip())
            self._events.put(Said(child, line))
        self._events.put(Ended(child, process.wait()))


def _obituary(child: Child, code: int) -> str:
    how = f"signal {-code}" if code < 0 else f"code {code}"
    if not child.quiet or not child.tail:
        return f"{child.name} ended with {how}."  # what it said stands above
    last = "\n".join(f"  | {line}" for line in child.tail)
    return f"{child.name} ended with {how}. Its last lines:\n{last}"


def say(text: str) -> None:
    # Whoever listened may have gone (a closed terminal or pipe); the children are stopped all the same.
    with contextlib.suppress(OSError):
        print(text, flush=True)
