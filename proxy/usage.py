"""Token counts, read in passing from the last kilobytes of an answer.

In a stream the usage comes in the last chunk before `[DONE]`; in a single answer near its end. Keeping a tail
costs a copy per chunk and bounded memory; parsing every chunk would cost as much as relaying it.
"""

import json
import re
from typing import Final

from proxy.encoding import Decoder

TAIL_BYTES: Final = 8192
"""The usage object and what follows it are a few hundred bytes."""

# A quote inside a JSON string is escaped, so text that speaks of "usage" does not match.
_USAGE: Final = re.compile(r'(?<!\\)"usage"\s*:\s*(?=\{)')


class UsageReader:
    """Sees the bytes of one answer as they pass."""

    def __init__(self, content_encoding: bytes | None) -> None:
        self._decoder = Decoder(content_encoding)
        self._tail = b""

    def feed(self, chunk: bytes) -> None:
        """The next bytes of the answer, as relayed."""
        self._tail = (self._tail + self._decoder.feed(chunk))[-TAIL_BYTES:]

    def tokens(self) -> tuple[int, int]:
        """Prompt and completion tokens as the upstream counted them; zeros where it said nothing."""
        text = self._tail.decode("utf-8", "replace")
        for match in reversed(list(_USAGE.finditer(text))):
            try:
                usage, _ = json.JSONDecoder().raw_decode(text, match.end())
            except (ValueError, RecursionError):
                continue
            return _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
        return 0, 0


def _count(usage: dict[str, object], name: str) -> int:
    value = usage.get(name)
    return value if isinstance(value, int) and value > 0 else 0
