"""Keeping secrets out of text: known ones by their value, unknown ones by what secrets look like.

Three nets, because each has holes. By value: what `add` was told, wherever it stands. By key: a field named
like a secret loses its value whatever it is. By shape: bearer tokens, provider keys, passwords in URLs and
`token=…` in text, for secrets of clients and upstreams that nobody could have registered.

Looking for shapes is dear and finding one is rare, so every line is first asked cheaply whether it could hold
any (`suspicious`); only those that might are walked.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

MASK: Final = "***"
SHORTEST_SECRET: Final = 4
"""Characters. Masking every occurrence of something shorter would eat the log and hide nothing."""
LONGEST_STRING: Final = 8_000
"""Characters of one value that are kept by a walk: a client decides how long a model name is."""

_SECRET_KEY: Final = re.compile(
    r"authorization|api[_-]?key|password|passwd|secret|cookie|credential|token$", re.IGNORECASE
)
# Where a secret lies is no secret, and an operator needs it.
_NAMES_A_PLACE: Final = re.compile(r"[_-](?:file|path)$", re.IGNORECASE)

_SHAPES: Final = (
    (re.compile(r"\b(bearer)\s+[A-Za-z0-9._~+/=-]{6,}", re.IGNORECASE), rf"\1 {MASK}"),
    (re.compile(r"\b(basic)\s+[A-Za-z0-9+/=]{16,}", re.IGNORECASE), rf"\1 {MASK}"),
    (re.compile(r"\b(nvapi-)[A-Za-z0-9_-]{6,}", re.IGNORECASE), rf"\1{MASK}"),
    (re.compile(r"\b(sk-)[A-Za-z0-9_-]{16,}"), rf"\1{MASK}"),
    (re.compile(r"://[^/\s@\"']*@"), f"://{MASK}@"),
    (re.compile(r"((?:key|token|password|secret)=)[^\s&\"',;]+", re.IGNORECASE), rf"\1{MASK}"),
)
# What a line must contain, in lower case, for one of the shapes to be found in it: the second only where the
# first is, because one byte is found much faster than a word is missed.
_HINTS: Final = (
    (b"=", (b"key=", b"token=", b"word=", b"secret=")),
    (b" ", (b"bearer", b"basic")),
    (b"-", (b"nvapi-", b"sk-")),
    (b"/", (b"://",)),
)
_FLAT: Final = frozenset({str, int, float, bool, type(None)})
_KEYS_REMEMBERED: Final = 1_000


class Redactor:
    """What is secret in one process. Its owner is the log (`shared.logs`). Only `add` changes it, besides a
    bounded memory of which keys look secret."""

    def __init__(self) -> None:
        self._secrets: tuple[str, ...] = ()
        self._encoded: tuple[bytes, ...] = ()
        self._keys: dict[str, bool] = {}

    def add(self, secrets: Iterable[str]) -> None:
        """Mask these from now on. Shorter ones than SHORTEST_SECRET are ignored."""
        known = {*self._secrets, *(s for s in secrets if len(s) >= SHORTEST_SECRET)}
        # Longest first: a secret may contain another.
        self._secrets = tuple(sorted(known, key=len, reverse=True))
        # As it stands in a JSON line; escapes are per character, so a part of a string has the same form.
        self._encoded = tuple(_in_json(s) for s in self._secrets)

    def key_is_secret(self, key: str) -> bool:
        verdict = self._keys.get(key)
        if verdict is None:
            verdict = bool(_SECRET_KEY.search(key)) and not _NAMES_A_PLACE.search(key)
            if len(self._keys) >= _KEYS_REMEMBERED:
                self._keys.clear()
            self._keys[key] = verdict
        return verdict

    def must_walk(self, fields: Mapping[str, object]) -> bool:
        """True if a key looks secret or a value is not flat, so that the encoded line cannot be trusted."""
        keys = self._keys
        for key, value in fields.items():
            # The memory is asked before the method: this loop is most of what a good line costs here.
            if keys.get(key, True) and self.key_is_secret(key):
                return True
            if type(value) not in _FLAT and not isinstance(value, str):
                return True
        return False

    def suspicious(self, line: bytes) -> bool:
        """True if this encoded line may hold a secret, by value or by shape."""
        for secret in self._encoded:
            if secret in line:
                return True
        low = line.lower()
        for byte, words in _HINTS:
            if byte in low:
                for word in words:
                    if word in low:
                        return True
        return False

    def text(self, text: str) -> str:
        """`text` without secrets, cut to LONGEST_STRING."""
        for secret in self._secrets:
            if secret in text:
                text = text.replace(secret, MASK)
        for shape, instead in _SHAPES:
            text = shape.sub(instead, text)
        if len(text) > LONGEST_STRING:
            text = f"{text[:LONGEST_STRING]}… ({len(text)} characters)"
        return text

    def walk(self, value: object, depth: int = 6) -> object:
        """`value` in plain types, without secrets. Below `depth` levels only its text is kept."""
        if isinstance(value, bool | int | float | None):
            return value
        if isinstance(value, bytes | bytearray | memoryview):
            return self.text(bytes(value).decode("utf-8", "backslashreplace"))
        if depth > 0 and isinstance(value, Mapping):
            return {self.text(str(key)): self._value_of(str(key), item, depth) for key, item in value.items()}
        if depth > 0 and isinstance(value, list | tuple | set | frozenset):
            return [self.walk(item, depth - 1) for item in value]
        return self.text(str(value))

    def _value_of(self, key: str, value: object, depth: int) -> object:
        if value is not None and not isinstance(value, bool) and self.key_is_secret(key):
            return MASK
        return self.walk(value, depth - 1)


def _in_json(secret: str) -> bytes:
    return msgspec.json.encode(secret.encode("utf-8", "replace").decode())[1:-1]
