"""Reading along in compressed answers. OpenClaw accepts gzip, so whoever wants to see an answer must too."""

import zlib
from typing import Final

MOST_AT_ONCE: Final = 1 << 20
"""Bytes that one piece may grow to; a bomb is then read no further. The bytes relayed are never touched."""


class Decoder:
    """Decodes what passes, piece by piece. After nonsense, or an unknown encoding, it yields nothing."""

    def __init__(self, content_encoding: bytes | None) -> None:
        encoding = (content_encoding or b"identity").strip().lower()
        self._plain = encoding == b"identity"
        # 32 added to the window size lets zlib tell gzip from zlib by the header.
        self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 32) if encoding in {b"gzip", b"deflate"} else None

    @property
    def failed(self) -> bool:
        """Has something come that cannot be decoded?"""
        return not self._plain and self._inflate is None

    def feed(self, piece: bytes) -> bytes:
        """The next piece, decoded."""
        if self._plain:
            return piece
        if self._inflate is None:
            return b""
        try:
            decoded = self._inflate.decompress(piece, MOST_AT_ONCE)
        except zlib.error:
            decoded = b""
            self._inflate = None
        else:
            if self._inflate.unconsumed_tail:
                self._inflate = None
        return decoded
