"""A process under faults: system calls that fail, a death in the middle of one, a wall clock that steps.

Tests that use these say so: ``needs("strace")``, ``needs("faketime")``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


def under_faults(argv: Sequence[str], trace: Path, *injections: str, files: Sequence[Path] = ()) -> list[str]:
    """`argv` with faults in it and in its children, as strace's ``-e inject=`` names them.

    ``fsync:error=EIO:when=3..5``, ``pwrite64:error=ENOSPC:when=40+``, ``fdatasync:signal=SIGKILL:when=20``;
    the counts are per thread. With `files`, only calls on these, by their paths. `trace` tells which calls
    were hit. The process that is started is still `argv`'s own: its pid, its signals, its exit code.
    """
    faults = [word for injection in injections for word in ("-e", f"inject={injection}")]
    calls = ",".join(injection.partition(":")[0] for injection in injections)
    # Not --seccomp-bpf, which would be faster: it loses injected signals.
    options = ["--daemonize", "--follow-forks", "--quiet=all", "--output", str(trace)]
    options += [word for file in files for word in ("--trace-path", str(file))]
    return ["strace", *options, "-e", f"trace={calls}", "-e", "signal=none", *faults, *argv]


def hits(trace: Path) -> int:
    """How many calls have been made to fail so far: a test of a fault proves that there was one."""
    return trace.read_text(errors="replace").count("(INJECTED)") if trace.exists() else 0


@dataclass(frozen=True, slots=True)
class SteppingClock:
    """The wall clock of processes that are started with `env`. Their monotonic clock stays true.

    `file`, in a directory that is there, is where the processes look how late it is. `time.sleep` fails in
    them (EINVAL: libfaketime takes its absolute monotonic time for a wall time); Trio and locks do not.
    """

    file: Path

    @property
    def env(self) -> dict[str, str]:
        """What to add to a process's environment."""
        if not self.file.exists():
            self.show(0)
        return {
            "LD_PRELOAD": str(_library()),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",  # the times of files do not step with a clock
        }

    def show(self, seconds: float) -> None:
        """From now on `seconds` later than the true time; earlier, if negative."""
        new = self.file.with_suffix(".new")
        new.write_text(f"{seconds:+f}\n")
        new.replace(self.file)  # it is read at every look at the clock, never half written


def _library() -> Path:
    """The one for programs with threads."""
    found = [
        path for lib in ("/usr/lib", "/lib64") for path in Path(lib).glob("*/faketime/libfaketimeMT.so.1")
    ]
    found += Path("/usr/lib/faketime").glob("libfaketimeMT.so.1")
    return found[0]
