"""Token counts and errors, read in passing from the last kilobytes of an answer.

In a stream the usage comes in the last chunk before `[DONE]`; in a single answer near its end. An error
inside a stream is what the stream ends with. Keeping a tail costs a copy per chunk and bounded memory;
parsing every chunk would cost as much as relaying it.
"""

import json
import re
from typing import Final

from proxy.core.frames import ErrorFrame, last_error
from proxy.encoding import Decoder

TAIL_BYTES: Final = 2048
"""The usage object and what follows it are a few hundred bytes."""

# With its quotes: inside a JSON string a quote is escaped, so text that speaks of "usage" does not match.
_KEY: Final = b'"usage"'
_VALUE: Final = re.compile(r"\s*:\s*(?=\{)")


class UsageReader:
    """Sees the bytes of one answer as they pass."""

    def __init__(self, content_encoding: bytes | None) -> None:
        self._decoder = Decoder(content_encoding)
        self._tail = b""
        self._is_whole = True

    def feed(self, chunk: bytes) -> None:
        """The next bytes of the answer, as relayed."""
        tail = self._tail + self._decoder.feed(chunk)
        self._is_whole &= len(tail) <= TAIL_BYTES
        self._tail = tail[-TAIL_BYTES:]

    def error(self) -> ErrorFrame | None:
        """The error with which a stream of events has ended."""
        return last_error(self._tail, whole=self._is_whole)

    def tokens(self) -> tuple[int, int]:
        """Prompt and completion tokens as the upstream counted them last; zeros where it said nothing."""
        end = len(self._tail)
        while (at := self._tail.rfind(_KEY, 0, end)) >= 0:
            end = at
            text = self._tail[at + len(_KEY) :].decode("utf-8", "replace")
            value = _VALUE.match(text)
            if value is None or self._tail[at - 1 : at] == b"\\":
                continue
            try:
                usage, _ = json.JSONDecoder().raw_decode(text, value.end())
            except (ValueError, RecursionError):
                continue
            return _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
        return 0, 0


def _count(usage: dict[str, object], name: str) -> int:
    value = usage.get(name)
    return value if isinstance(value, int) and value > 0 else 0
