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

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")


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
    metadata: msgspec.Raw = msgspec.Raw(b"null")


class _Metadata(msgspec.Struct):
    priority: Any = msgspec.UNSET
    agent: Any = msgspec.UNSET


Edits = dict[str, Callable[[str], str | None]]
"""By the member's name: from the text of its value to another, or to None, which cuts the member out."""

_decode_fields = msgspec.json.Decoder(_Fields).decode
_decode_metadata = msgspec.json.Decoder(_Metadata).decode


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
    metadata = _metadata(fields)
    words = (model, fields.user, metadata.priority, metadata.agent)
    if any(isinstance(word, str) and "\ufffd" in word for word in words):  # a half character, see `_fields`
        raise BadBodyError("invalid_request", "`model`, `user` and `metadata` must be valid Unicode")
    edits: Edits = {}
    if metadata.priority is not msgspec.UNSET or metadata.agent is not msgspec.UNSET:
        edits["metadata"] = _without_ours
    sent_model = strip_alias(model, gateway_aliases)
    if sent_model != model:
        edits["model"] = lambda _: json.dumps(sent_model)
    return Body(
        content=_edited(content, edits) if edits else content,
        model=sent_model,
        stream=stream is True,
        user=_word(fields.user),
        priority=_word(metadata.priority),
        agent=_word(metadata.agent),
    )


def with_model(content: bytes, model: str) -> bytes:
    """A body that was read, with another model in it and nothing else changed."""
    return _edited(content, {"model": lambda _: json.dumps(model)})


def strip_alias(model: str, gateway_aliases: Collection[str]) -> str:
    """`nvidiavx/deepseek-ai/x` is OpenClaw's provider name before the upstream's id; `nvidia/x` is an id."""
    first, *others = model.split("/")
    named = len(others) >= 2 and all(others) and any(fnmatchcase(first, alias) for alias in gateway_aliases)
    return "/".join(others) if named else model


def _word(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _fields(content: bytes) -> _Fields:
    try:
        try:
            fields = _decode_fields(content)
        except (msgspec.MsgspecError, UnicodeError):
            # msgspec refuses a lone surrogate even in text that is skipped. A cut emoji in a conversation
            # must not lock its session out for good, so the text is read once more without surrogates.
            if not _SURROGATE.search(content):
                raise
            fields = _decode_fields(_SURROGATE.sub(rb"\\ufffd", content))
    except (msgspec.ValidationError, TypeError):
        raise BadBodyError("invalid_request", "the request body must be a JSON object") from None
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise BadBodyError("invalid_json", "the request body is not valid JSON") from None
    return fields


def _metadata(fields: _Fields) -> _Metadata:
    try:
        return _decode_metadata(fields.metadata)
    except msgspec.ValidationError:  # something else than an object is no matter of ours
        return _Metadata()
    except (msgspec.MsgspecError, UnicodeError):
        raise BadBodyError("invalid_request", "`metadata` must be valid Unicode") from None


class _Member(NamedTuple):
    key: str
    start: int
    value_start: int
    end: int


_SPACE = re.compile(r"[ \t\n\r]*")
_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_SCALAR = re.compile(r"[^,\]}\s]+")
_STRUCTURE = re.compile(r'[^"\[\]{}]*')


def _members(text: str, at: int) -> Iterator[_Member]:
    """The members of the JSON object that begins at `at`, with where each begins and ends.

    The text has been read before, so it is known to be JSON: values are stepped over without building them.
    """
    at = _skip(_SPACE, text, at + 1)
    while text[at] != "}":
        start = at
        key_end = _skip(_STRING, text, at)
        value_start = _skip(_SPACE, text, _skip(_SPACE, text, key_end) + 1)
        end = _value_end(text, value_start)
        yield _Member(json.loads(text[start:key_end]), start, value_start, end)
        at = _skip(_SPACE, text, end)
        if text[at] == ",":
            at = _skip(_SPACE, text, at + 1)


def _value_end(text: str, at: int) -> int:
    if text[at] == '"':
        return _skip(_STRING, text, at)
    if text[at] not in "{[":
        return _skip(_SCALAR, text, at)
    depth = 0
    while True:
        if text[at] == '"':
            at = _skip(_STRING, text, at)
        else:
            depth += 1 if text[at] in "{[" else -1
            at += 1
            if depth == 0:
                return at
        at = _skip(_STRUCTURE, text, at)


def _skip(what: re.Pattern[str], text: str, at: int) -> int:
    match = what.match(text, at)
    return match.end() if match else at


def _edited(content: bytes, edits: Edits) -> bytes:
    # Bytes that are no UTF-8, in a part that nobody reads, survive the round trip as they are.
    text = content.decode("utf-8", "surrogateescape")
    return _with_members(text, edits).encode("utf-8", "surrogateescape")


def _with_members(text: str, edits: Edits) -> str:
    """The JSON object `text` with the named members' values replaced, or the members cut out (None)."""
    members = list(_members(text, _skip(_SPACE, text, 0)))
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
