"""What a restart learns from the stamps of the process before it."""

import errno
import os
import struct
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from proxy.core.window import Slot
from proxy.stamps import Stamps

HOLD, LIMIT = 61.0, 5


def opened(path: Path, now: float, *, boot: str = "boot 1", limit: int = LIMIT) -> Stamps:
    return Stamps(path, hold_seconds=HOLD, limit=limit, now=now, boot_id=boot)


def dead(stamps: Stamps) -> None:
    """What `kill -9` leaves: the file as it is, without a last word."""
    assert stamps._fd is not None
    os.close(stamps._fd)
    stamps._fd = None


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lane.window"


def test_nothing_is_held_at_the_first_start_and_the_file_is_its_owners_alone(path: Path) -> None:
    stamps = opened(path, 1000.0)
    assert stamps.held_for == []
    assert not stamps.degraded
    assert path.stat().st_mode & 0o777 == 0o600
    stamps.close()


def test_a_written_slot_is_held_until_its_time_is_over(path: Path) -> None:
    first = opened(path, 1000.0)
    for number, at in enumerate((1000.0, 1010.0, 1020.0)):
        first.held(Slot(number), at - 1)
        first.written(Slot(number), at)
    dead(first)
    second = opened(path, 1065.0)
    assert second.held_for == pytest.approx([6.0, 16.0])
    dead(second)
    third = opened(path, 1073.0)
    assert third.held_for == pytest.approx([8.0]), "also after a restart that sent nothing"
    dead(third)


def test_a_slot_of_unknown_fate_counts_as_sent_at_the_restart(path: Path) -> None:
    first = opened(path, 1000.0)
    first.held(Slot(1), 1000.0)
    dead(first)
    second = opened(path, 1050.0)
    assert second.held_for == [HOLD]
    dead(second)
    third = opened(path, 1060.0)
    assert third.held_for == pytest.approx([HOLD - 10]), "it is unknown once, and not anew at every restart"
    dead(third)


def test_a_slot_that_was_given_back_is_not_held(path: Path) -> None:
    first = opened(path, 1000.0)
    first.held(Slot(1), 1000.0)
    first.unsent(Slot(1))
    dead(first)
    second = opened(path, 1000.1)
    assert second.held_for == []
    second.close()


def test_places_are_used_again_and_the_file_does_not_grow(path: Path) -> None:
    stamps, now = opened(path, 0.0), 0.0
    for number in range(1000):
        now += HOLD / LIMIT
        stamps.held(Slot(number), now)
        if number % 3:
            stamps.written(Slot(number), now)
        else:
            stamps.unsent(Slot(number))
    stamps.close()
    assert path.stat().st_size <= 64 + 16 * (LIMIT + 1)


def test_after_many_laps_a_restart_still_knows_exactly_what_is_held(path: Path) -> None:
    stamps, now, sent = opened(path, 0.0), 0.0, []
    for number in range(500):
        now += 13.0
        stamps.held(Slot(number), now)
        stamps.written(Slot(number), now)
        sent.append(now)
    dead(stamps)
    after = opened(path, now + 1)
    assert after.held_for == pytest.approx([at + HOLD - now - 1 for at in sent if at + HOLD > now + 1])
    after.close()


def test_after_a_reboot_in_good_order_every_slot_is_as_old_as_the_machine(path: Path) -> None:
    first = opened(path, 5000.0)
    for number in range(2):
        first.held(Slot(number), 5000.0)
    first.written(Slot(0), 5000.0)
    first.close()
    second = opened(path, 20.0, boot="boot 2")
    assert second.held_for == [HOLD - 20.0] * 2
    dead(second)


def test_a_minute_after_a_reboot_nothing_is_held(path: Path) -> None:
    first = opened(path, 5000.0)
    first.held(Slot(1), 5000.0)
    dead(first)
    second = opened(path, HOLD, boot="boot 2")
    assert second.held_for == []
    second.close()


def test_after_a_power_cut_all_slots_count(path: Path) -> None:
    dead(opened(path, 5000.0))  # its last writes may have been lost
    second = opened(path, 20.0, boot="boot 2")
    assert second.held_for == [HOLD - 20.0] * LIMIT
    second.close()


def test_a_start_takes_the_good_order_of_the_last_end_away(path: Path) -> None:
    opened(path, 5000.0).close()
    dead(opened(path, 5001.0))
    second = opened(path, 20.0, boot="boot 2")
    assert second.held_for == [HOLD - 20.0] * LIMIT
    second.close()


def test_a_stamp_from_the_future_counts_as_now(path: Path) -> None:
    # A system without boot ids: its monotonic clock began anew.
    first = opened(path, 5000.0, boot="")
    first.held(Slot(1), 5000.0)
    first.written(Slot(1), 5000.0)
    dead(first)
    second = opened(path, 30.0, boot="")
    assert second.held_for == [HOLD]
    second.close()


@pytest.mark.parametrize("content", [b"", b"x", b"clawpac", b"\0" * 64, b"garbage!" * 40, b"\xff" * 65])
def test_a_file_that_cannot_be_read_counts_as_a_full_window(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    stamps = opened(path, 1000.0)
    assert stamps.held_for == [HOLD] * LIMIT
    assert not stamps.degraded
    stamps.close()
    again = opened(path, 1001.0)
    assert again.held_for == pytest.approx([HOLD - 1] * LIMIT), "and is whole from then on"
    again.close()


def test_half_a_record_at_the_end_is_passed_over(path: Path) -> None:
    first = opened(path, 1000.0)
    first.held(Slot(1), 1000.0)
    first.written(Slot(1), 1000.0)
    dead(first)
    path.write_bytes(path.read_bytes() + b"\x01\x02\x03")
    second = opened(path, 1001.0)
    assert second.held_for == [HOLD - 1]
    second.close()


def test_a_hole_in_the_file_counts_as_sent(path: Path) -> None:
    # What a write beyond the end leaves behind when the one before it had failed.
    dead(opened(path, 1000.0))
    path.write_bytes(path.read_bytes() + bytes(16) + struct.pack("<d?7x", 1000.0, True))
    second = opened(path, 1001.0)
    assert second.held_for == [HOLD - 1, HOLD]
    second.close()


@pytest.mark.parametrize("where", ["missing/lane.window", "file/lane.window"])
def test_a_directory_that_cannot_be_written_makes_it_degraded_and_it_goes_on(
    tmp_path: Path, where: str
) -> None:
    (tmp_path / "file").touch()
    with capture_logs() as logs:
        stamps = opened(tmp_path / where, 1000.0)
        assert stamps.degraded
        stamps.held(Slot(1), 1000.0)
        stamps.written(Slot(1), 1000.0)
        stamps.held(Slot(2), 1000.0)
        stamps.unsent(Slot(2))
        stamps.close()
    assert stamps.degraded
    assert [(line["event"], line["log_level"]) for line in logs] == [("stamps_unwritable", "critical")]


def test_a_full_disk_is_told_once_and_its_end_too(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stamps, disk = opened(path, 1000.0), {"full": True}
    write = os.pwrite

    def pwrite(fd: int, data: bytes, offset: int) -> int:
        if disk["full"]:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(fd, data, offset)

    monkeypatch.setattr(os, "pwrite", pwrite)
    with capture_logs() as logs:
        for number in range(3):
            stamps.held(Slot(number), 1000.0)
            stamps.written(Slot(number), 1000.0)
        degraded = [stamps.degraded]
        disk["full"] = False
        stamps.held(Slot(4), 1001.0)
        degraded.append(stamps.degraded)
    assert degraded == [True, False]
    assert [line["event"] for line in logs] == ["stamps_unwritable", "stamps_writable_again"]
    dead(stamps)
    # The three that failed left a hole, which counts; the fourth is there.
    after = opened(path, 1002.0)
    assert after.held_for == [HOLD] * 4
    after.close()


def test_a_disk_that_is_full_at_the_start_costs_no_descriptor(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pwrite(fd: int, data: bytes, offset: int) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", pwrite)
    free = os.dup(0)
    os.close(free)
    stamps = opened(path, 1000.0)
    assert stamps.degraded
    stamps.close()
    after = os.dup(0)
    os.close(after)
    assert after == free


def test_a_longer_window_than_before_holds_what_was_sent_for_longer(path: Path) -> None:
    first = opened(path, 1000.0)
    first.held(Slot(1), 1000.0)
    first.written(Slot(1), 1000.0)
    first.close()
    second = Stamps(path, hold_seconds=121.0, limit=LIMIT, now=1100.0, boot_id="boot 1")
    assert second.held_for == [21.0]
    second.close()
