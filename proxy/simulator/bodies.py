"""What a request's body asks for. Pure.

Read with the standard library's JSON, not with msgspec's: it takes the lone surrogate that a cut emoji
leaves, and the simulator must be no stricter than NVIDIA about what it does not need.
"""

import json
import re
from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
EMBEDDINGS = "/v1/embeddings"
COUNTED = frozenset({CHAT, COMPLETIONS, EMBEDDINGS})
"""The endpoints that ask for a key and spend the limit."""

SENTENCE = "This is the simulated upstream."


class _StreamOptions(msgspec.Struct, frozen=True):
    include_usage: bool | None = None


class Body(msgspec.Struct, frozen=True, kw_only=True):
    """The fields that the simulator reads, of all three endpoints; any other field is let through unread."""

    model: Annotated[str, msgspec.Meta(min_length=1)]
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    messages: Annotated[list[dict[str, object]], msgspec.Meta(min_length=1)] | None = None
    prompt: str | list[object] | None = None
    input: str | list[object] | None = None
    input_type: Literal["query", "passage"] | None = None
    dimensions: Annotated[int, msgspec.Meta(ge=1, le=4096)] | None = None
    encoding_format: Literal["float", "base64"] | None = None
    tools: object = None

    @property
    def include_usage(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_usage)

    @property
    def prompt_tokens(self) -> int:
        """A token for every four characters begun."""
        asked = [self.prompt, self.input, *(message.get("content") for message in self.messages or ())]
        return tokens("".join(text for part in asked for text in _texts(part)))

    def said(self) -> str:
        """The whole conversation."""
        return "\n".join(_join(message.get("content")) for message in self.messages or ())

    def offered(self) -> frozenset[str]:
        """The names of the tools that may be called."""
        tools = self.tools if isinstance(self.tools, list) else []
        functions = [tool.get("function") for tool in tools if isinstance(tool, dict)]
        names = [function.get("name") for function in functions if isinstance(function, dict)]
        return frozenset(name for name in names if isinstance(name, str))

    def reply(self, chunks: int) -> str:
        """What follows ``say:`` in the user's last message, else a sentence, repeated to fill the chunks."""
        spoken = [_join(m.get("content")) for m in self.messages or () if m.get("role") == "user"] or [
            _join(self.prompt)
        ]
        said = re.search(r"say: *(.+)", spoken[-1], flags=re.DOTALL)
        text = said[1] if said else " ".join([SENTENCE] * -(-chunks // len(SENTENCE)))
        return _sendable(text)


class Problem(msgspec.Struct, frozen=True):
    """Why a body cannot be served. ``model`` is for the count: a bad request spends the key's limit too."""

    error: object
    model: str = ""


def read(path: str, raw: bytes) -> Body | Problem:
    try:
        body = msgspec.convert(json.loads(raw.decode("utf-8", "replace")), Body)
        body.model.encode()  # a name goes into answers and counts; it must be one that can be sent
    except (
        ValueError,
        RecursionError,
    ) as error:  # ValidationError, JSONDecodeError, UnicodeError: all ValueErrors
        return Problem({"status": 400, "title": "Bad Request", "detail": _sendable(str(error))})
    needed = {CHAT: "messages", COMPLETIONS: "prompt", EMBEDDINGS: "input"}[path]
    if getattr(body, needed) is None:
        detail = f"Object missing required field `{needed}`"
        return Problem({"status": 400, "title": "Bad Request", "detail": detail}, body.model)
    if path == EMBEDDINGS and is_asymmetric(body.model) and body.input_type is None:
        # Word for word: CherryHQ/cherry-studio#16818, decolua/9router#1378.
        return Problem({"error": "'input_type' parameter is required for asymmetric models"}, body.model)
    return body


def is_asymmetric(model: str) -> bool:
    return "embedqa" in model or "nv-embed" in model


def tokens(text: str) -> int:
    return -(-len(text) // 4)


def _sendable(text: str) -> str:
    """Without the lone surrogates, which no encoder takes."""
    return text.encode("utf-8", "replace").decode()


def _join(part: object) -> str:
    return "".join(_texts(part))


def _texts(part: object) -> Iterator[str]:
    """The words in a content: a string, or a list of strings and of parts with a ``text``."""
    if isinstance(part, str):
        yield part
    elif isinstance(part, list):
        for item in part:
            yield from _texts(item.get("text") if isinstance(item, dict) else item)
