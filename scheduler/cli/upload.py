"""A file on its way to the board: its name, its size, its bytes piece by piece."""

import io
import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from scheduler.cli.told import wrong_usage

PIECE_BYTES: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class Upload:
    """`size_bytes` is known before the first piece: it is announced, and what is missing then is an error."""

    name: str | None
    size_bytes: int
    _stream: BinaryIO

    def pieces(self) -> Iterator[bytes]:
        """Exactly `size_bytes`: a log that grows meanwhile is handed in as it was. Raises ToldError."""
        left = self.size_bytes
        while left:
            piece = self._stream.read(min(left, PIECE_BYTES))
            if not piece:
                raise wrong_usage(f"{self.name or 'the file'} became shorter while it was read")
            left -= len(piece)
            yield piece


@contextmanager
def from_file(file: Path) -> Iterator[Upload]:
    """A file, or whatever can be read like one. Raises ToldError."""
    try:
        stream = file.open("rb")
    except OSError as error:
        raise wrong_usage(f"cannot read {file}: {error.strerror}") from error
    with stream:
        status = os.fstat(stream.fileno())
        if stat.S_ISREG(status.st_mode):
            yield Upload(file.name, status.st_size, stream)
            return
        with _spooled(stream, file.name) as upload:
            yield upload


@contextmanager
def from_stdin() -> Iterator[Upload]:
    with _spooled(sys.stdin.buffer, None) as upload:
        yield upload


@contextmanager
def _spooled(stream: BinaryIO, name: str | None) -> Iterator[Upload]:
    """Of a pipe nobody knows the length, so it is written down first: in memory while it is small."""
    with tempfile.SpooledTemporaryFile(max_size=16 * PIECE_BYTES) as spool:
        while piece := stream.read(PIECE_BYTES):
            spool.write(piece)
        size = spool.tell()
        spool.seek(0)
        yield Upload(name, size, spool)  # type: ignore[arg-type]  # it is a binary stream, typeshed has no word


@contextmanager
def from_text(text: str) -> Iterator[Upload]:
    # What a shell handed over that is not UTF-8 is handed in as it was.
    content = text.encode("utf-8", "surrogateescape")
    yield Upload(None, len(content), io.BytesIO(content))
