"""The boards that are measured: new ones, on a disk that is synced at each commit, in both databases."""

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Final

from bench.processes import OUT
from scheduler.blackboard.store import Store
from scheduler.core.task import Draft, Task
from shared import clock
from tests.integration import postgres

NOT_INSTALLED: Final = (
    "PostgreSQL is not measured: its server is not here (apt install postgresql, brew install postgresql)"
)
SYNCS: Final = 200
PAGE: Final = bytes(4096)
WRITERS: Final = 4


@dataclass
class Place:
    """Where boards are made."""

    name: str
    directory: Path
    cluster: postgres.Cluster | None = None
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    @contextmanager
    def board(self) -> Iterator[tuple[Store, str]]:
        """A new one, and its address."""
        mine = self.directory / f"board-{next(self._numbers)}"
        mine.mkdir()
        url = self.cluster.fresh_database() if self.cluster else f"sqlite:///{mine / 'blackboard.db'}"
        with closing(Store.open(url, artifacts=mine / "artifacts")) as store:
            yield store, url


@contextmanager
def places() -> Iterator[list[Place]]:
    """SQLite, and PostgreSQL where there is one."""
    with ExitStack() as stack, directory() as top:
        found = [Place("SQLite", top)]
        if postgres.installed():
            cluster = stack.enter_context(postgres.run_cluster(fsync=True))
            found.append(Place("PostgreSQL", top / "postgresql", cluster))
            (top / "postgresql").mkdir()
        yield found


@contextmanager
def directory() -> Iterator[Path]:
    """Beside the results, and not in /tmp, which may be memory: syncing that costs nothing."""
    OUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="board-", dir=OUT) as name:
        yield Path(name)


def fill(store: Store, number: int, agents: Sequence[str | None] = (None,)) -> list[Task]:
    """So many tasks that can be claimed, in turn for each of `agents` (None: for anybody)."""

    def put(index: int) -> Task:
        assignee = agents[index % len(agents)]
        draft = Draft(title=f"Task {index} of the benchmark", creator="bench", assignee=assignee)
        return store.create(draft, who="bench", now=clock.wall())

    with ThreadPoolExecutor(min(WRITERS, store.most_writers)) as pool:
        return list(pool.map(put, range(number)))


def sync_seconds() -> list[float]:
    """Milliseconds for what a commit cannot do without."""
    with directory() as top:
        fd = os.open(top / "page", os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            return [_sync(fd) for _ in range(SYNCS)]
        finally:
            os.close(fd)


def _sync(fd: int) -> float:
    begun = time.perf_counter()
    os.write(fd, PAGE)
    os.fsync(fd)
    return 1000 * (time.perf_counter() - begun)


def percentile(samples: Sequence[float], share: float) -> float:
    """The sample that `share` of all do not exceed."""
    return sorted(samples)[min(int(share * len(samples)), len(samples) - 1)]
