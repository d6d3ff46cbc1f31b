"""How an answer goes over the wire, as data: head, pieces, pauses, and how it ends. Pure.

An honest answer and a broken one are the same kind of thing; ``spoil`` turns the one into the other.
"""

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

Headers = tuple[tuple[str, str], ...]

JSON: Headers = (("Content-Type", "application/json"),)


class End(StrEnum):
    """What the last byte of a play is followed by."""

    DONE = "done"  # HTTP's own end; the connection can be used again
    CLOSE = "close"  # FIN, whatever the head promised
    RESET = "reset"  # RST
    HALF_CLOSE = "half_close"  # FIN from this side; it goes on reading until the client closes too
    SILENCE = "silence"  # nothing, until the client hangs up


@dataclass(frozen=True, slots=True)
class Play:
    status: int | None = None
    """None: no head; the pieces are everything there is, HTTP or not."""
    headers: Headers = ()
    """Complete: they say how the body is framed."""
    pieces: Iterable[bytes] = ()
    pause: float = 0.0
    """Seconds before the first byte."""
    gap: float = 0.0
    """Seconds between two pieces."""
    end: End = End.DONE

    @property
    def is_prompt(self) -> bool:
        """Whether it is over in one write, so that nobody need listen for a hang-up meanwhile."""
        single = isinstance(self.pieces, tuple) and len(self.pieces) <= 1
        return single and not self.pause and self.end is not End.SILENCE


def whole(status: int, body: bytes, headers: Headers = JSON, *, pause: float = 0.0) -> Play:
    length = ("Content-Length", str(len(body)))
    return Play(status, (*headers, length), (body,) if body else (), pause=pause)


def streamed(pieces: Iterable[bytes], *, pause: float, gap: float) -> Play:
    headers = (
        ("Content-Type", "text/event-stream"),
        ("Cache-Control", "no-cache"),
        ("Transfer-Encoding", "chunked"),
    )
    return Play(200, headers, pieces, pause=pause, gap=gap)


def gzipped(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Each piece can be decoded as soon as it is there, as in a stream that is compressed while it grows."""
    packer = zlib.compressobj(wbits=31)  # 31: with gzip's own header
    held: bytes | None = None
    for piece in pieces:
        if held is not None:
            yield held
        held = packer.compress(piece) + packer.flush(zlib.Z_SYNC_FLUSH)
    yield (held or b"") + packer.flush()
