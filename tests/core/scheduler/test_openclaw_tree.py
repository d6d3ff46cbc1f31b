"""Changes to a tree of JSON: made, taken back, written as a patch; secrets neither needed nor shown."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.openclaw.tree import (
    ABSENT,
    REDACTED,
    Change,
    change,
    changed,
    dotted,
    holds,
    is_variable,
    lists_in,
    patch,
    shown,
    taken_back,
    value_at,
)

WORDS = st.sampled_from("abc")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2) | WORDS,
    lambda inside: st.lists(inside, max_size=2) | st.dictionaries(WORDS, inside, max_size=3),
    max_leaves=6,
)
TREES = st.dictionaries(WORDS, VALUES, max_size=3)
WITHOUT_NULLS = st.dictionaries(
    WORDS,
    st.recursive(
        st.integers(0, 2) | st.lists(st.integers(0, 2), max_size=2),
        lambda inside: st.dictionaries(WORDS, inside, max_size=3),
        max_leaves=6,
    ),
    max_size=3,
)


def wanted(tree: Any, path: str, after: Any) -> list[Change]:
    made = change(tree, tuple(path.split(".")), after, "because")
    return [] if made is None else [made]


def merged(tree: Any, made: Any) -> Any:
    """As RFC 7396 has it, in its own words."""
    if not isinstance(made, dict):
        return made
    result = dict(tree) if isinstance(tree, dict) else {}
    for name, value in made.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


@given(old=WITHOUT_NULLS, new=WITHOUT_NULLS)
def test_a_patch_leads_from_the_one_to_the_other(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert merged(old, patch(old, new)) == new


def test_a_patch_between_equals_is_empty() -> None:
    assert patch({"a": {"b": 1}, "c": [1]}, {"a": {"b": 1}, "c": [1]}) == {}


@given(tree=TREES, path=st.lists(WORDS, min_size=1, max_size=3), after=VALUES)
def test_what_was_changed_and_taken_back_is_what_it_was(tree: Any, path: list[str], after: Any) -> None:
    made = change(tree, tuple(path), after, "because")
    around = [value_at(tree, tuple(path[:length])) for length in range(len(path))]
    if made is None or not all(each is ABSENT or isinstance(each, dict) for each in around):
        return
    there = changed(tree, [made])
    assert value_at(there, made.path) == after
    assert change(there, made.path, after, "again") is None
    assert taken_back(there, [made]) == (tree, [])


def test_what_stands_there_already_is_no_change() -> None:
    assert not wanted({"a": {"b": 1, "c": [{"x": 1, "y": 2}]}}, "a", {"b": 1, "c": [{"x": 1}]})


def test_what_was_made_around_a_value_goes_with_it_and_what_was_empty_before_stays() -> None:
    tree: dict[str, Any] = {"mcp": {}, "agents": {"defaults": {}}}
    changes = wanted(tree, "mcp.servers.board", {"url": "u"}) + wanted(tree, "models.a.b", 1)
    changes += wanted(tree, "models.a.c", 2)
    assert taken_back(changed(tree, changes), changes) == (tree, [])


def test_an_agent_that_was_written_down_stays_because_openclaw_lets_no_patch_remove_one() -> None:
    changes = wanted({}, "agents.entries.ops.params.x", 1)
    assert taken_back(changed({}, changes), changes) == ({"agents": {"entries": {"ops": {}}}}, [])


def test_what_somebody_else_has_changed_since_is_left_alone_and_told() -> None:
    tree = {"a": 1, "b": 1, "c": 1}
    changes = [each for name in "abc" for each in wanted(tree, name, 2)] + wanted(tree, "d", 2)
    now = {"a": 3, "b": 1, "c": 2}
    target, left = taken_back(now, changes)
    assert target == {"a": 3, "b": 1, "c": 1}
    assert [each.path for each in left] == [("a",)]


def test_what_was_added_beside_ours_stays() -> None:
    changes = wanted({}, "mcp.servers.board", {"url": "u"})
    now = {"mcp": {"servers": {"board": {"url": "u"}, "theirs": {}}}}
    assert taken_back(now, changes) == ({"mcp": {"servers": {"theirs": {}}}}, [])


@pytest.mark.parametrize(
    ("found", "expected", "verdict"),
    [
        (REDACTED, "a key", True),
        ({"apiKey": REDACTED, "more": 1}, {"apiKey": "word"}, True),
        ({"a": 1}, {"b": 1}, False),
        ([1], [1, 2], False),
        ([{"a": 1, "b": 2}], [{"a": 1}], True),
        ("text", [1], False),
        ("text", {"a": 1}, False),
        (1, True, False),
        (True, True, True),
        (ABSENT, 1, False),
    ],
)
def test_an_object_may_say_more_and_a_secret_is_taken_for_what_was_expected(
    found: Any, expected: Any, verdict: bool
) -> None:
    assert holds(found, expected) is verdict


def test_lists_that_a_patch_replaces_are_named() -> None:
    made = {"a": {"b": [1], "c": None}, "d": [2], "e": 1}
    assert list(lists_in(made)) == [("a", "b"), ("d",)]


def test_a_place_is_written_as_openclaw_reads_it() -> None:
    assert dotted(("models", "providers", "nvidia-low")) == "models.providers.nvidia-low"
    assert dotted(("agents", "models", "nvidia/a.b", "x")) == 'agents.models["nvidia/a.b"].x'


def test_keys_and_foreign_headers_are_not_shown() -> None:
    provider = {
        "apiKey": "nvapi-secret",
        "headers": {"X-Priority": "low", "X-Token": "secret"},
        "models": [{"id": "m", "headers": {"Cookie": "secret"}}],
    }
    assert shown({"nvidia": provider}) == {
        "nvidia": {
            "apiKey": "****",
            "headers": {"X-Priority": "low", "X-Token": "****"},
            "models": [{"id": "m", "headers": {"Cookie": "****"}}],
        }
    }
    assert shown({"apiKey": {"source": "env", "id": "X"}}) == {"apiKey": "****"}
    assert shown({"headers": "odd"}) == {"headers": "odd"}


def test_words_that_stand_for_a_key_are_shown() -> None:
    for word in ("held-by-the-sidecar", "${NVIDIA_API_KEY}", REDACTED):
        assert shown({"apiKey": word}) == {"apiKey": word}
    assert not is_variable("${A} and more")
    assert not is_variable(None)
