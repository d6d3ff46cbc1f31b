"""Is the board in order? Each check says one thing, and none changes what the board says.

A board of an older release is brought to this one's schema first, as by every command. A check that cannot be
made is bad, and its reason is what is said; the others go on.
"""

import os
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from scheduler.blackboard import backup as copies
from scheduler.blackboard.errors import BoardError
from scheduler.blackboard.queries import TaskQuery
from scheduler.blackboard.store import Store
from scheduler.cli.ways import Place
from scheduler.core.records import Output
from scheduler.core.task import Task
from shared.clock import rfc3339, wall

CLOCK_TOLERANCE_SECONDS: Final = 60.0
LEAST_FREE_SHARE: Final = 0.1
_NAMED_AT_MOST: Final = 5

Verdict = Literal["ok", "warn", "bad"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check says."""

    name: str
    verdict: Verdict
    message: str


def examine(place: Place, environ: Mapping[str, str]) -> Iterator[Finding]:
    """All checks, one after the other."""
    yield from _state_dir(place)
    if place.file is not None:
        yield from _files(place.file)
    yield from _board(place)
    yield from _commands(environ)


def _state_dir(place: Place) -> Iterator[Finding]:
    directory = place.located.state_dir
    if not directory.is_dir():
        yield Finding("state directory", "warn", f"{directory} is not there; the scheduler makes it")
        return
    mode = stat.S_IMODE(directory.stat().st_mode)
    if mode & 0o077:
        yield Finding("state directory", "warn", f"others may look in: chmod 700 {directory}")
    elif not os.access(directory, os.W_OK | os.X_OK):
        yield Finding("state directory", "bad", f"{directory} cannot be written")
    else:
        yield Finding("state directory", "ok", str(directory))
    token = place.located.admin_token_file
    if token.is_file():
        yield _private("admin token", token)
    usage = shutil.disk_usage(directory)
    share = usage.free / usage.total if usage.total else 1.0
    verdict: Verdict = "ok" if share >= LEAST_FREE_SHARE else "warn"
    yield Finding("disk", verdict, f"{share:.0%} free")


def _files(file: Path) -> Iterator[Finding]:
    for suffix in ("", "-wal", "-shm"):
        each = Path(f"{file}{suffix}")
        if each.exists():
            yield _private(f"database{suffix}", each)
    if file.exists():
        yield _checked("integrity", lambda: _integrity(file))


def _private(name: str, file: Path) -> Finding:
    if stat.S_IMODE(file.stat().st_mode) & 0o077:
        return Finding(name, "warn", f"others may read it: chmod 600 {file}")
    return Finding(name, "ok", str(file))


def _integrity(file: Path) -> Finding:
    copies.check(file)
    return Finding("integrity", "ok", "every page and every index is as it should be")


def _board(place: Place) -> Iterator[Finding]:
    try:
        store = Store.open(
            place.url,
            artifacts=place.artifacts,
            create=False,
            pool_size=place.located.pool_size,
            max_overflow=place.located.max_overflow,
        )
    except BoardError as error:
        yield Finding("board", "bad", str(error))
        return
    with closing(store):
        yield Finding("board", "ok", f"{store.url_shown}, {store.size_bytes()} bytes")
        yield _checked("clock", lambda: _clock(store))
        yield _checked("outputs", lambda: _outputs(store))


def _clock(store: Store) -> Finding:
    now = wall()
    newest = max((task.updated_at for task in _tasks(store)), default=now)
    if newest > now + CLOCK_TOLERANCE_SECONDS:
        return Finding(
            "clock", "warn", f"it is {rfc3339(now)}, and something was written at {rfc3339(newest)}"
        )
    return Finding("clock", "ok", f"it is {rfc3339(now)}, and nothing is newer")


def _outputs(store: Store) -> Finding:
    outputs = store.all_outputs()
    missing = [output.path for output in outputs if not _whole(store.output_file(output), output)]
    if missing:
        named = ", ".join(missing[:_NAMED_AT_MOST])
        return Finding(
            "outputs", "bad", f"{len(missing)} of {len(outputs)} are missing or cut short: {named}"
        )
    return Finding("outputs", "ok", f"all {len(outputs)} are there, in full length")


def _whole(file: Path, output: Output) -> bool:
    return file.is_file() and file.stat().st_size == output.size_bytes


def _tasks(store: Store) -> Iterator[Task]:
    cursor = None
    while True:
        page = store.tasks(TaskQuery(archived=True, limit=1_000, cursor=cursor))
        yield from page.tasks
        if (cursor := page.next_cursor) is None:
            return


def _commands(environ: Mapping[str, str]) -> Iterator[Finding]:
    """What the settings name; settings that are wrong are a finding of their own."""
    from scheduler.settings import Settings  # noqa: PLC0415 - no other command needs all of them
    from shared.errors import StartError  # noqa: PLC0415 - likewise
    from shared.settings import load  # noqa: PLC0415 - likewise

    file = environ.get("SCHEDULER_CONFIG")
    try:
        settings = load(Settings, environ, Path(file) if file else None, named="SCHEDULER_CONFIG")
    except StartError as error:
        yield Finding("settings", "bad", "; ".join(error.lines))
        return
    for name, words in (("openclaw", settings.openclaw), ("multica", settings.multica)):
        found = shutil.which(words[0], path=environ.get("PATH"))
        if found is None:
            yield Finding(name, "warn", f"{words[0]} is not on the PATH")
        else:
            yield Finding(name, "ok", found)


def _checked(name: str, check: Callable[[], Finding]) -> Finding:
    try:
        return check()
    except Exception as error:  # whatever it is, it is what somebody asked the doctor for
        return Finding(name, "bad", str(error) or type(error).__name__)
