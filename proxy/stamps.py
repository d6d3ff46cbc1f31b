"""The window's stamps on disk: what makes "never over" survive `kill -9`.

DESIGN. One small file of fixed records, one record per slot that is held: a state and the monotonic time of
its last change. A record is written in place by one `pwrite` before the request leaves ("held"), and again
when its last byte has left ("written"). The page cache outlives the process however it dies, so nothing is
synced per request: that would stop the event loop for milliseconds, for the sake of power cuts alone.

At the start every record that is still in force gives its slot back to the window:

- written: until its time is over;
- held, never confirmed: it may have been sent at any time until the death, so it counts as sent now. (Its
  admission time instead violates the window in 12 of 30 simulated crashes, dropping it in 25 of 30.)
- from before a reboot: monotonic times begin anew, but whatever was sent was sent before the machine came up;
  so `uptime` seconds of its time are over. The file's last writes may be lost then, unless the process had
  ended in good order (and synced): all slots count.

Wall clocks play no part, so no clock step can open or block the window.

A file that cannot be written (disk full, permissions) never stops a request: the lane goes on in memory and
says `degraded` until a write succeeds again (until the next start, if the file cannot even be opened).
"""

import os
import struct
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import structlog

from proxy.core.window import Slot

_HEADER: Final = struct.Struct("<8s40sB15x")  # magic, boot id, ended in good order
_RECORD: Final = struct.Struct("<d?7x")  # the monotonic time of the last change, whether it was written
_MAGIC: Final = b"clawpac1"
_NEVER: Final = float("-inf")
_T = TypeVar("_T")

_log = structlog.get_logger()


class Stamps:
    """The stamps of one lane. One owner: the gate, from one task at a time."""

    def __init__(self, path: Path, *, hold_seconds: float, limit: int, now: float, boot_id: str) -> None:
        """Open or create the file and learn what an earlier process still holds; `now` is monotonic.

        Never raises for a bad disk or a bad file: an unreadable file counts as a full window.
        """
        self._path = path
        self._hold_seconds = hold_seconds
        self._fd: int | None = None
        self._records: dict[Slot, int] = {}  # of slots not yet written, their places in the file
        self._releases: deque[tuple[float, int]] = deque()  # of written ones: (free at, place), in order
        self._vacant: list[int] = []
        self._next_place = 0
        self.degraded = False
        held = self._try(lambda: self._load(now, limit, boot_id))
        self.held_for: list[float] = [hold_seconds] * limit if held is None else held
        """Seconds for which each slot of an earlier process is still held."""
        self._try(lambda: self._begin(now, boot_id))

    def held(self, slot: Slot, now: float) -> None:
        """The slot is about to be used."""
        place = self._place(now)
        self._records[slot] = place
        self._write(place, now, written=False)

    def written(self, slot: Slot, now: float) -> None:
        """The slot's request has left."""
        place = self._records.pop(slot)
        self._releases.append((now + self._hold_seconds, place))
        self._write(place, now, written=True)

    def unsent(self, slot: Slot) -> None:
        """The slot was not used."""
        place = self._records.pop(slot)
        self._vacant.append(place)
        self._write(place, _NEVER, written=True)

    def close(self) -> None:
        """End in good order: what the file says is whole, even over a power cut."""
        if self._fd is not None:
            fd, self._fd = self._fd, None
            self._try(lambda: os.pwrite(fd, b"\x01", _HEADER.size - 16))
            self._try(lambda: os.fsync(fd))
            os.close(fd)

    def _load(self, now: float, limit: int, boot_id: str) -> list[float]:
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return []
        magic, boot, in_good_order = (
            _HEADER.unpack_from(content) if len(content) >= _HEADER.size else (b"", b"", 0)
        )
        if magic != _MAGIC:
            _log.warning("stamps_unreadable", path=str(self._path), counted_as="a full window")
            return [self._hold_seconds] * limit
        same_boot = boot.rstrip(b"\0").decode("ascii", "replace") == boot_id
        if not same_boot and not in_good_order:
            return self._in_force([now] * limit)
        body = content[_HEADER.size :]
        records = _RECORD.iter_unpack(body[: len(body) // _RECORD.size * _RECORD.size])
        ages = []
        for at, written in records:
            if at == _NEVER:
                continue
            age = now - at if written else 0.0
            # A time from the future is from an earlier boot on a system that does not tell boots apart.
            ages.append(now if not same_boot else max(age, 0.0))
        return self._in_force(ages)

    def _in_force(self, ages: list[float]) -> list[float]:
        return sorted(self._hold_seconds - age for age in ages if age < self._hold_seconds)

    def _begin(self, now: float, boot_id: str) -> None:
        """A new file that holds what is still in force, swapped in whole."""
        new = self._path.with_suffix(".new")
        fd = os.open(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        header = _HEADER.pack(_MAGIC, boot_id.encode("ascii", "replace"), 0)
        stamps = [now + left - self._hold_seconds for left in self.held_for]
        try:
            os.pwrite(fd, header + b"".join(_RECORD.pack(at, True) for at in stamps), 0)
            os.fsync(fd)
            new.replace(self._path)
        except OSError:
            os.close(fd)
            raise
        self._fd = fd
        self._releases.extend((now + left, place) for place, left in enumerate(self.held_for))
        self._next_place = len(self.held_for)

    def _place(self, now: float) -> int:
        if self._vacant:
            return self._vacant.pop()
        if self._releases and self._releases[0][0] <= now:
            return self._releases.popleft()[1]
        self._next_place += 1
        return self._next_place - 1

    def _write(self, place: int, at: float, *, written: bool) -> None:
        fd = self._fd
        if fd is None:
            return
        offset = _HEADER.size + place * _RECORD.size
        self._try(lambda: os.pwrite(fd, _RECORD.pack(at, written), offset))

    def _try(self, action: Callable[[], _T]) -> _T | None:
        """Do it, or go on without: tells once that it fails, and once that it works again."""
        try:
            done = action()
        except OSError as error:
            if not self.degraded:
                _log.critical("stamps_unwritable", path=str(self._path), error=error.strerror)
            self.degraded = True
            return None
        if self.degraded:
            _log.warning("stamps_writable_again", path=str(self._path))
        self.degraded = False
        return done
