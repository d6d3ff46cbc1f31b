"""What integration tests may ask for: services that a machine has or has not."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration import openclaw

Require = Callable[[str], Path]

# Where each is found, or None; and what to do about it.
SERVICES: dict[str, tuple[Callable[[], Path | None], str]] = {
    "openclaw": (openclaw.found, "run .ci/run, or its npm lines"),
}


@pytest.fixture
def require() -> Require:
    """``require("openclaw")`` returns where it is; without it the test is skipped, and fails in CI.

    A name that is not in the table is a program on PATH.
    """

    def look(name: str) -> Path:
        find, remedy = SERVICES.get(name, (lambda: _program(name), f"install the package of {name}"))
        place = find()
        if place is None:
            reason = f"needs {name}: {remedy}"
            # CI must never turn green because a service quietly went missing.
            if os.environ.get("REQUIRE_SERVICES") == "1":
                pytest.fail(reason)
            pytest.skip(reason)
        return place

    return look


def _program(name: str) -> Path | None:
    place = shutil.which(name)
    return Path(place) if place else None
