"""What every depth of test shares: how hard hypothesis tries, and ``@pytest.mark.needs("openclaw")``.

That is what a test cannot do without. Where it is missing the test is skipped and says what to do; with
``REQUIRE_SERVICES=1``, as in CI, it fails: a run must never turn green because a service quietly went
missing.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import settings

from tests.integration import openclaw, postgres

# Help is plain text here, wherever the tests run: with `CI` set, typer would colour it.
os.environ["_TYPER_FORCE_DISABLE_TERMINAL"] = "1"

# No deadlines anywhere: how long an example takes says something about the machine, not about the code.
settings.register_profile("quick", deadline=None, max_examples=20)
# In CI the same examples every time: a red run must mean the change, not the lot that was drawn.
settings.register_profile("ci", deadline=None, max_examples=50, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("REQUIRE_SERVICES") == "1" else "quick")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "needs(*names): services that are listed in tests/conftest.py, or programs on PATH"
    )


# Whether it is there, and what to do if not. A name that is not listed is a program on PATH.
SERVICES: dict[str, tuple[Callable[[], bool], str]] = {
    "/proc": (Path("/proc/self/task").exists, "run it on Linux"),
    "minutes": (lambda: os.environ.get("REQUIRE_SERVICES") == "1", "set REQUIRE_SERVICES=1, as CI does"),
    "openclaw": (openclaw.installed, "run .ci/run, or the npm lines in it"),
    "postgresql": (postgres.installed, "install a PostgreSQL server (Debian's package: postgresql)"),
}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What is marked `long` is left to `make long`: it would take CI past its twenty minutes."""
    if os.environ.get("LONG") == "1":
        return
    long = [item for item in items if item.get_closest_marker("long")]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if not item.get_closest_marker("long")]


def pytest_runtest_setup(item: pytest.Item) -> None:
    # Before the test begins, and not from inside: out of a Trio nursery the reason would not be shown.
    for mark in item.iter_markers("needs"):
        for name in mark.args:
            there, remedy = SERVICES.get(name, (_on_path(name), f"install {name}"))
            if not there():
                refuse = pytest.fail if os.environ.get("REQUIRE_SERVICES") == "1" else pytest.skip
                refuse(f"needs {name}: {remedy}")


@pytest.fixture(autouse=True)
def logs_as_they_were(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Commands configure the logs of their process, and each logger keeps what it was first used with.

    In a test this process lives on, and the tests after it have loggers to look at.
    """
    configure = structlog.configure

    def for_now(**how: Any) -> None:
        configure(**{**how, "cache_logger_on_first_use": False})

    monkeypatch.setattr(structlog, "configure", for_now)
    yield
    structlog.reset_defaults()


def _on_path(name: str) -> Callable[[], bool]:
    return lambda: shutil.which(name) is not None
