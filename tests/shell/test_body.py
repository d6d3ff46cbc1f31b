"""What is read from a body, and that what is not ours is sent byte for byte."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.body import BadBodyError, read_body, strip_alias, with_model

ALIASES = ("nvidia*",)
OURS = {"model", "stream", "user", "metadata"}

# JSON as text, with everything that JSON allows and that a library would write differently. Bytes that are no
# UTF-8 are the lone surrogates that `surrogateescape` stands in for them.
_space = st.text(" \t\n\r", max_size=3)
_character = st.one_of(
    st.characters(min_codepoint=0x20, exclude_categories=["Cs"], exclude_characters='"\\'),
    st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF, categories=["Cs"]),
    st.sampled_from([rf"\{letter}" for letter in '"\\/bfnrt']),
    st.integers(0, 0xFFFF).map(lambda code: f"\\u{code:04x}"),
)
_string = st.lists(_character, max_size=6).map(lambda parts: '"' + "".join(parts) + '"')
_number = st.from_regex(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,5})?([eE][+-]?[0-9]{1,4})?", fullmatch=True)
_scalar = st.one_of(_string, _number, st.sampled_from(["true", "false", "null"]))


def _is_clean(literal: str) -> bool:
    return not any(0xD800 <= ord(character) <= 0xDFFF for character in json.loads(literal))


def _list(items: list[tuple[str, str, str]]) -> str:
    return "[" + (",".join(before + item + after for before, item, after in items) or " ") + "]"


def _member(key: str, value: str, spaces: tuple[str, str, str, str]) -> str:
    return f"{spaces[0]}{key}{spaces[1]}:{spaces[2]}{value}{spaces[3]}"


_spaces = st.tuples(_space, _space, _space, _space)


def _members(values: st.SearchStrategy[str], *, but: set[str]) -> st.SearchStrategy[list[str]]:
    keys = _string.filter(lambda key: json.loads(key) not in but)
    return st.lists(st.builds(_member, keys, values, _spaces), max_size=4)


def _object(members: list[str]) -> str:
    return "{" + ",".join(members) + "}"


_value = st.recursive(
    _scalar,
    lambda inner: st.one_of(
        st.lists(st.tuples(_space, inner, _space), max_size=3).map(_list),
        _members(inner, but=set()).map(_object),
    ),
    max_leaves=8,
)
_others = _members(_value, but=OURS)


@st.composite
def _bodies(draw: st.DrawFn, *ours: str) -> str:
    """An object that has these members among others, in any order."""
    members = draw(_others)
    for text in ours:
        members.insert(draw(st.integers(0, len(members))), text)
    return draw(_space) + _object(members) + draw(_space)


def encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def pairs_of(content: bytes) -> Any:
    """Every member at every level, duplicates and their order included, numbers as they are written."""
    return json.loads(
        content.decode("utf-8", "surrogateescape"), object_pairs_hook=list, parse_int=str, parse_float=str
    )


@settings(max_examples=40)  # each builds a body of dozens of draws
@given(_bodies('"model":"meta/llama"', ' "stream" : true ', '"user":"me"'))
def test_a_body_without_anything_of_ours_is_sent_byte_for_byte(text: str) -> None:
    body = read_body(encoded(text), ALIASES)
    assert body.content == encoded(text)
    assert (body.model, body.stream, body.user) == ("meta/llama", True, "me")
    assert (body.priority, body.agent) == (None, None)


@settings(max_examples=40)
@given(_bodies('"model"\n: \t"nvidiavx/deepseek-ai/x"'))
def test_where_an_alias_is_stripped_only_the_models_name_changes(text: str) -> None:
    body = read_body(encoded(text), ALIASES)
    assert body.model == "deepseek-ai/x"
    assert body.content == encoded(text.replace('"nvidiavx/deepseek-ai/x"', '"deepseek-ai/x"'))


@settings(max_examples=40)
@given(st.data())
def test_our_metadata_is_cut_out_and_every_other_member_stays_as_it_is_written(data: st.DataObject) -> None:
    theirs = data.draw(_members(_value, but={"priority", "agent"}))
    metadata = list(theirs)
    for mine in ('"priority":"high"', ' "agent" :\n"crab"'):
        metadata.insert(data.draw(st.integers(0, len(metadata))), mine)
    text = data.draw(_bodies('"model":"m"', '"metadata":' + _object(metadata)))
    body = read_body(encoded(text), ALIASES)
    assert (body.priority, body.agent) == ("high", "crab")
    expected = []
    for name, value in pairs_of(encoded(text)):
        if name != "metadata":
            expected.append([name, value])
        elif theirs:
            expected.append([name, [pair for pair in value if pair[0] not in {"priority", "agent"}]])
    assert [list(pair) for pair in pairs_of(body.content)] == expected
    for member in theirs:
        assert encoded(member.strip(" \t\n\r")) in body.content


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('{"model":"m","metadata":{"priority":"low"}}', '{"model":"m"}'),
        ('{"metadata":{"priority":"low"},"model":"m"}', '{"model":"m"}'),
        ('{ "metadata" : { "agent" : "a" } , "model":"m" }', '{ "model":"m" }'),
        ('{"model":"m", "metadata":{"agent":"a"}, "n":1.0}', '{"model":"m", "n":1.0}'),
        ('{"model":"m","metadata":{"a":1, "agent":"a" ,"b":2}}', '{"model":"m","metadata":{"a":1 ,"b":2}}'),
        ('{"model":"m","metadata":{"agent":"a","b":2 }}', '{"model":"m","metadata":{"b":2 }}'),
        ('{"model":"m","metadata":{"a":1,"agent":"a"}}', '{"model":"m","metadata":{"a":1}}'),
        ('{"model":"m","metadata":{"agent":"a","agent":"b"}}', '{"model":"m"}'),
        ('{"model":"m","metadata":{"agent":5}}', '{"model":"m"}'),
        ('{"model":"m","metadata":{"\\u0061gent":"a"}}', '{"model":"m"}'),
        ('{"model":"m","metadata":{}}', '{"model":"m","metadata":{}}'),
        ('{"model":"m","metadata":"agent"}', '{"model":"m","metadata":"agent"}'),
        ('{"model":"m","metadata":{"x":{"agent":"a"}}}', '{"model":"m","metadata":{"x":{"agent":"a"}}}'),
        ('{"model":"m","x":{"metadata":{"agent":"a"}}}', '{"model":"m","x":{"metadata":{"agent":"a"}}}'),
    ],
)
def test_the_cut_is_exact(before: str, after: str) -> None:
    assert read_body(before.encode(), ALIASES).content == after.encode()


def test_a_number_of_any_length_beside_our_metadata_is_sent_as_it_is_written() -> None:
    number = b"1" * 5000
    content = b'{"model":"m","n":' + number + b',"metadata":{"priority":"high"}}'
    assert read_body(content, ALIASES).content == b'{"model":"m","n":' + number + b"}"


def test_a_cut_emoji_and_bad_utf8_in_what_nobody_reads_pass() -> None:
    content = b'{"model":"m","a":"\\ud83d","b":"\xff\xfe","metadata":{"c":"\xff","agent":"x"}}'
    body = read_body(content, ALIASES)
    assert body.agent == "x"
    assert body.content == b'{"model":"m","a":"\\ud83d","b":"\xff\xfe","metadata":{"c":"\xff"}}'


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "invalid_json"),
        (b"hello", "invalid_json"),
        (b'{"model":"m"', "invalid_json"),
        (b'{"model":"m"}}', "invalid_json"),
        (b'{"model":"m","t":NaN}', "invalid_json"),
        (b'{"model":"m","t":-Infinity}', "invalid_json"),
        (b'{"model":"m","d":' + b"[" * 10_000 + b"]" * 10_000 + b"}", "invalid_json"),
        (b'{"d":' + b'{"a":' * 10_000 + b"1" + b"}" * 10_000 + b',"model":"m"}', "invalid_json"),
        (b'\xef\xbb\xbf{"model":"nvidia1/a/b"}', "invalid_json"),
        ('{"model":"nvidia1/a/b"}'.encode("utf-16"), "invalid_json"),
        ('{"model":"nvidia1/a/b"}'.encode("utf-16-le"), "invalid_json"),
        ('{"model":"m"}'.encode("utf-32-be"), "invalid_json"),
        (b"[]", "invalid_request"),
        (b'"model"', "invalid_request"),
        (b"null", "invalid_request"),
        (b"{}", "invalid_request"),
        (b'{"model":null}', "invalid_request"),
        (b'{"model":""}', "invalid_request"),
        (b'{"model":5}', "invalid_request"),
        (b'{"model":5,"cut":"\\ud83d"}', "invalid_request"),
        (b'{"model":["m"]}', "invalid_request"),
        (b'{"model":"' + b"m" * 10_000 + b'"}', "invalid_request"),
        (b'{"model":"m","stream":"yes"}', "invalid_request"),
        (b'{"model":"m","stream":1}', "invalid_request"),
        (b'{"model":"\\ud83d"}', "invalid_request"),
        (b'{"model":"m\xff"}', "invalid_json"),
        (b'{"model":"m","user":"\\udc00"}', "invalid_request"),
        (b'{"model":"m","metadata":{"agent":"\\ud83d"}}', "invalid_request"),
        (b'{"model":"m","metadata":{"priority":"\xff"}}', "invalid_request"),
    ],
)
def test_what_cannot_be_read_is_refused_in_words(content: bytes, code: str) -> None:
    with pytest.raises(BadBodyError) as caught:
        read_body(content, ALIASES)
    assert caught.value.code == code
    caught.value.message.encode()
    assert len(caught.value.message) < 100


def test_nesting_that_only_the_cutting_finds_too_deep_is_refused_in_words() -> None:
    for depth in range(100, 1100, 20):
        content = b'{"model":"nvidia1/a/b","d":' + b"[" * depth + b"]" * depth + b"}"
        assert read_or_refused(content) in {content.replace(b"nvidia1/", b""), "invalid_json"}


def read_or_refused(content: bytes) -> bytes | str:
    """The bytes to send, or the code of the refusal."""
    try:
        return read_body(content, ALIASES).content
    except BadBodyError as error:
        return error.code


@settings(max_examples=40)
@given(
    _bodies('"model":"nvidia1/a/b"', '"metadata":{"agent":"a","x":[1,{}]}'),
    st.lists(st.tuples(st.integers(0, 400), st.binary(max_size=3), st.integers(0, 3)), max_size=3),
)
def test_however_a_body_is_broken_it_is_read_or_refused(
    text: str, damages: list[tuple[int, bytes, int]]
) -> None:
    content = encoded(text)
    for at, inserted, cut in damages:
        content = content[:at] + inserted + content[at + cut :]
    result = read_or_refused(content)
    if isinstance(result, bytes):
        assert isinstance(pairs_of(result), list)
    else:
        assert result in {"invalid_json", "invalid_request"}


@pytest.mark.parametrize("value", ["5", "null", "[]", '""', "{}", "true"])
def test_odd_values_of_what_is_only_a_hint_are_no_hint(value: str) -> None:
    content = f'{{"model":"m","stream":null,"user":{value},"metadata":{value}}}'.encode()
    body = read_body(content, ALIASES)
    assert (body.content, body.user, body.agent, body.priority) == (content, None, None, None)


@pytest.mark.parametrize(
    ("model", "sent"),
    [
        ("nvidiavx/deepseek-ai/x", "deepseek-ai/x"),
        ("nvidia/deepseek-ai/x", "deepseek-ai/x"),
        ("nvidia-low/meta/llama", "meta/llama"),
        ("nvidia/llama-3.1-nemotron", "nvidia/llama-3.1-nemotron"),
        ("nvidia/nvidia/llama", "nvidia/llama"),
        ("meta/llama", "meta/llama"),
        ("openai/meta/llama", "openai/meta/llama"),
        ("Nvidia/a/b", "Nvidia/a/b"),
        ("llama", "llama"),
    ],
)
def test_an_openclaw_provider_name_is_stripped_and_a_publisher_is_kept(model: str, sent: str) -> None:
    assert strip_alias(model, ALIASES) == sent


def test_other_aliases_may_be_named() -> None:
    assert strip_alias("gate-7/a/b", ("mine", "gate-?")) == "a/b"
    assert strip_alias("nvidia/a/b", ("mine", "gate-?")) == "nvidia/a/b"
    assert strip_alias("nvidia/a/b", ()) == "nvidia/a/b"


def test_another_model_takes_the_place_of_the_one_and_nothing_else_changes() -> None:
    body = b' {"messages":[{"content":"\\ud83d \xff"}], "model" : "a/b","n":1e0 }'
    assert with_model(body, "c/d") == body.replace(b'"a/b"', b'"c/d"')
