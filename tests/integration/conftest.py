"""``@pytest.mark.needs("openclaw")``: what an integration test cannot do without, and what it is given.

Where it is missing the test is skipped and says what to do; with ``REQUIRE_SERVICES=1``, as in CI, it fails:
a run must never turn green because a service quietly went missing.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration import openclaw, postgres

# Whether it is there, and what to do if not. A name that is not listed is a program on PATH.
SERVICES: dict[str, tuple[Callable[[], bool], str]] = {
    "/proc": (Path("/proc/self/task").exists, "run it on Linux"),
    "minutes": (lambda: os.environ.get("REQUIRE_SERVICES") == "1", "set REQUIRE_SERVICES=1, as CI does"),
    "openclaw": (openclaw.installed, "run .ci/run, or the npm lines in it"),
    "postgresql": (postgres.installed, "install a PostgreSQL server (Debian's package: postgresql)"),
}


def pytest_runtest_setup(item: pytest.Item) -> None:
    # Before the test begins, and not from inside: out of a Trio nursery the reason would not be shown.
    for mark in item.iter_markers("needs"):
        for name in mark.args:
            there, remedy = SERVICES.get(name, (_on_path(name), f"install {name}"))
            if not there():
                refuse = pytest.fail if os.environ.get("REQUIRE_SERVICES") == "1" else pytest.skip
                refuse(f"needs {name}: {remedy}")


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[postgres.Cluster]:
    """One for each process of pytest, from the first test on that asks, which says `needs("postgresql")`."""
    with postgres.run_cluster() as cluster:
        yield cluster


@pytest.fixture
def postgres_url(postgres_cluster: postgres.Cluster) -> Iterator[str]:
    """Of an empty database for this test alone."""
    url = postgres_cluster.fresh_database()
    yield url
    postgres_cluster.drop_database(url)


def _on_path(name: str) -> Callable[[], bool]:
    return lambda: shutil.which(name) is not None
