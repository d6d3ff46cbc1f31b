from pathlib import Path

import pytest

from shared import clock
from shared.errors import StartError


@pytest.mark.parametrize(
    ("unix", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_772_357_400.25, "2026-03-01T09:30:00.250Z"),
        (1.9999, "1970-01-01T00:00:01.999Z"),
    ],
)
def test_times_are_shown_in_utc_with_milliseconds(unix: float, text: str) -> None:
    assert clock.rfc3339(unix) == text


def test_the_clocks_run() -> None:
    assert clock.monotonic() <= clock.monotonic()
    assert clock.wall() > 1_700_000_000


def test_a_machine_without_boots_has_no_boot_id(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(clock, "_LINUX_BOOT_ID", tmp_path / "nothing")
    assert clock.boot_id() == ""
    (tmp_path / "nothing").write_text("0f-1\n")
    assert clock.boot_id() == "0f-1"


def test_a_start_error_carries_its_lines_and_exit_code() -> None:
    error = StartError("one", "two", exit_code=2)
    assert (error.lines, error.exit_code, str(error)) == (("one", "two"), 2, "one\ntwo")
    assert StartError("one").exit_code == 1
