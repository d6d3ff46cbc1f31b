"""What the sidecar reads from a request body, and the only things it ever changes in one.

The body is 30-60 kB of JSON and is sent on byte for byte. Four members are read, with a decoder that skips
the rest. Where `metadata.priority` and `metadata.agent` (ours, not the upstream's) or an OpenClaw provider
name in front of the model have to go, just those characters are cut out of the original text.
"""

import json
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import msgspec

LONGEST_MODEL_NAME = 512
"""Characters. Model ids are `publisher/name`; ten kilobytes of one are somebody's mistake."""

OUR_METADATA = frozenset({"priority", "agent"})

_UNSENDABLE = re.compile("[\ud800-\udfff]")
"""Lone surrogates: what is read is shown in `/api/agents` and `/status`, and no encoder takes them."""


class BadBodyError(Exception):
    """The body cannot be read as the request it claims to be; the text says why, for the client."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Body:
    """What was read, and the bytes to send."""

    content: bytes
    model: str = ""
    stream: bool = False
    user: str | None = None
    priority: str | None = None
    agent: str | None = None


class _Fields(msgspec.Struct):
    """Any type is let in: what is wrong is then said in words of ours, and what does not matter passes."""

    model: Any = None
    stream: Any = None
    user: Any = None
    metadata: Any = None


Edits = dict[str, Callable[[str], str | None]]
"""By the member's name: from the text of its value to another, or to None, which cuts the member out."""

_decode_fields = msgspec.json.Decoder(_Fields).decode


def read_body(content: bytes, gateway_aliases: Collection[str], *, needs_model: bool = True) -> Body:
    """Read a JSON request body. BadBodyError if it is not JSON or not a request (with a model)."""
    fields = _fields(content)
    model, stream = fields.model, fields.stream
    if model is None and not needs_model:
        model = ""
    elif not isinstance(model, str) or not model:
        raise BadBodyError("invalid_request", "`model` is required and must be a string")
    if len(model) > LONGEST_MODEL_NAME:
        raise BadBodyError("invalid_request", f"`model` is longer than {LONGEST_MODEL_NAME} characters")
    if stream is not None and not isinstance(stream, bool):
        raise BadBodyError("invalid_request", "`stream` must be true or false")
    metadata = fields.metadata if isinstance(fields.metadata, dict) else {}
    for word in (model, fields.user, metadata.get("priority"), metadata.get("agent")):
        if isinstance(word, str) and _UNSENDABLE.search(word):
            raise BadBodyError("invalid_request", "`model`, `user` and `metadata` must be valid Unicode")
    edits: Edits = {}
    if not OUR_METADATA.isdisjoint(metadata):
        edits["metadata"] = _without_ours
    sent_model = strip_alias(model, gateway_aliases)
    if sent_model != model:
        edits["model"] = lambda _: json.dumps(sent_model)
    return Body(
        content=_edited(content, edits) if edits else content,
        model=sent_model,
        stream=stream is True,
        user=_word(fields.user),
        priority=_word(metadata.get("priority")),
        agent=_word(metadata.get("agent")),
    )


def strip_alias(model: str, gateway_aliases: Collection[str]) -> str:
    """`nvidiavx/deepseek-ai/x` is OpenClaw's provider name before the upstream's id; `nvidia/x` is an id."""
    first, *others = model.split("/")
    named = len(others) >= 2 and all(others) and any(fnmatchcase(first, alias) for alias in gateway_aliases)
    return "/".join(others) if named else model


def _word(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _fields(content: bytes) -> _Fields:
    try:
        return _decode_fields(content)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        pass
    # msgspec refuses a lone surrogate even in text that is skipped. A cut emoji in a conversation must not
    # lock its session out for good, so what it refuses is read once more by the standard library.
    # Decoded here, because of bytes it would guess at UTF-16. Bad UTF-8 passes as lone surrogates do.
    try:
        text = content.decode("utf-8", "surrogateescape")
        parsed = json.loads(text, parse_constant=_no_constant, parse_int=float)
    except (ValueError, RecursionError):
        raise BadBodyError("invalid_json", "the request body is not valid JSON") from None
    if not isinstance(parsed, dict):
        raise BadBodyError("invalid_request", "the request body must be a JSON object")
    return _Fields(*(parsed.get(name) for name in _Fields.__struct_fields__))


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


class _Member(NamedTuple):
    key: str
    start: int
    value_start: int
    end: int


_SPACE = re.compile(r"[ \t\n\r]*")
# Not `int`, which refuses more than 4,300 digits. The values are only stepped over.
_value_at = json.JSONDecoder(parse_int=float).raw_decode


def _members(text: str, at: int) -> Iterator[_Member]:
    """The members of the JSON object that begins at `at`, with where each begins and ends."""
    at = _skip(text, at + 1)
    while text[at] != "}":
        start = at
        key, at = _value_at(text, at)
        value_start = _skip(text, _skip(text, at) + 1)
        _, end = _value_at(text, value_start)
        yield _Member(key, start, value_start, end)
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _edited(content: bytes, edits: Edits) -> bytes:
    # Bytes that are no UTF-8, in a part that nobody reads, survive the round trip as they are.
    text = content.decode("utf-8", "surrogateescape")
    try:
        return _with_members(text, edits).encode("utf-8", "surrogateescape")
    except RecursionError:  # the standard library gives up on nesting a little earlier than msgspec
        raise BadBodyError("invalid_json", "the request body is nested too deeply") from None


def _with_members(text: str, edits: Edits) -> str:
    """The JSON object `text` with the named members' values replaced, or the members cut out (None)."""
    members = list(_members(text, _skip(text, 0)))
    pieces = [text[: members[0].start]]
    previous_end, kept = members[0].start, 0
    for member in members:
        separator, previous_end = text[previous_end : member.start], member.end
        value: str | None = text[member.value_start : member.end]
        if edit := edits.get(member.key):
            value = edit(text[member.value_start : member.end])
        if value is not None:
            pieces += (separator if kept else "", text[member.start : member.value_start], value)
            kept += 1
    return "".join([*pieces, text[previous_end:]])


def _without_ours(metadata: str) -> str | None:
    """`metadata` without our two members; None if nothing is left of it."""
    if not metadata.startswith("{"):
        return metadata  # an earlier duplicate of another type
    left = _with_members(metadata, dict.fromkeys(OUR_METADATA, lambda _: None))
    return None if re.fullmatch(r"\{\s*\}", left) else left
