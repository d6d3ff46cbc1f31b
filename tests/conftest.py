"""What every depth of test shares: how hard hypothesis tries, and the markers."""

import os

import pytest
from hypothesis import settings

# No deadlines anywhere: how long an example takes says something about the machine, not about the code.
settings.register_profile("quick", deadline=None, max_examples=20)
# In CI the same examples every time: a red run must mean the change, not the lot that was drawn.
settings.register_profile("ci", deadline=None, max_examples=100, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("REQUIRE_SERVICES") == "1" else "quick")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "needs(*names): services of tests/integration/conftest.py, or programs on PATH"
    )
