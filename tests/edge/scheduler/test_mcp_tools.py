"""The nine tools as such: what they are called, what they take, what they ask of the board."""

from typing import Any

import jsonschema
import pytest

from scheduler.mcp.tools import TOOLS, NotDoneError, Question, Speaker, input_schema, question
from scheduler.verbs import NEXT, VERBS

NAMES = (
    "board_list",
    "board_read",
    "board_claim",
    "board_heartbeat",
    "board_output",
    "board_comment",
    "board_observe",
    "board_block",
    "board_release",
)
TOKEN = "T-0042.3.abcdefghijklmnopqrstuvwx"


def test_there_are_nine_and_none_of_them_decides() -> None:
    assert tuple(TOOLS) == NAMES
    assert {tool.verb for tool in TOOLS.values()} <= {name for name, verb in VERBS.items() if verb.holders}


@pytest.mark.parametrize("speaker", Speaker)
@pytest.mark.parametrize("name", NAMES)
def test_every_argument_is_described_in_one_sentence_and_of_one_plain_type(
    name: str, speaker: Speaker
) -> None:
    schema = input_schema(name, speaker)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["additionalProperties"] is False
    assert set(schema["required"]) <= set(schema["properties"])
    for argument in schema["properties"].values():
        assert argument["type"] in {"string", "boolean", "integer", "number", "array"}
        assert argument["description"].endswith(".")
        assert not {"anyOf", "$ref"} & argument.keys()
    assert TOOLS[name].about.count(". ") == 0
    assert TOOLS[name].about.endswith(".")


@pytest.mark.parametrize(
    ("speaker", "name", "required"),
    [
        (Speaker.NOBODY, "board_list", []),
        (Speaker.NOBODY, "board_read", ["task"]),
        (Speaker.NOBODY, "board_claim", ["claim"]),
        (Speaker.NOBODY, "board_comment", ["claim", "text"]),
        (Speaker.AGENT, "board_claim", []),
        (Speaker.AGENT, "board_block", ["reason"]),
        (Speaker.OPERATOR, "board_claim", ["agent"]),
        (Speaker.OPERATOR, "board_output", ["claim"]),
    ],
)
def test_a_claim_is_asked_for_where_nothing_else_says_who_acts(
    speaker: Speaker, name: str, required: list[str]
) -> None:
    assert input_schema(name, speaker)["required"] == required


def test_the_limits_are_those_of_the_board() -> None:
    listing = input_schema("board_list", Speaker.NOBODY)["properties"]
    assert listing["limit"] == {
        "type": "integer",
        "minimum": 1,
        "maximum": 1000,
        "default": 100,
        "description": "At most so many.",
    }
    assert "working" in listing["status"]["items"]["enum"]
    assert input_schema("board_heartbeat", Speaker.AGENT)["properties"]["turn"]["minimum"] == 0


def test_a_call_becomes_a_question_about_the_task_under_the_claim() -> None:
    asked = question("board_output", {"claim": TOKEN, "text": "42", "final": True, "name": None})
    assert asked.claim is not None
    assert str(asked.claim) == TOKEN
    assert asked == Question("output", None, {"text": "42", "final": True}, asked.claim)
    assert TOKEN not in repr(asked)


@pytest.mark.parametrize("status", ["working", ["working"]])
def test_one_status_may_be_a_word(status: object) -> None:
    assert question("board_list", {"status": status}).body == {"status": ["working"]}


@pytest.mark.parametrize(
    ("given", "task"), [({}, NEXT), ({"task": ""}, NEXT), ({"task": "T-0001"}, "T-0001")]
)
def test_a_claim_without_a_task_is_for_whatever_comes_next(given: dict[str, Any], task: str) -> None:
    assert question("board_claim", given) == Question("claim", task, {})


@pytest.mark.parametrize(
    ("name", "arguments", "names"),
    [
        ("board_read", {"task": "T-1", "claim": TOKEN}, "claim"),
        ("board_list", {"task": "T-1"}, "task"),
        ("board_output", {"claim": TOKEN, "nmae": "x"}, "nmae"),
        ("board_comment", {"claim": TOKEN, "author": "coo", "text": "x"}, "author"),
        ("board_comment", {"claim": 7, "text": "x"}, "claim"),
        ("board_comment", {"claim": "nonsense", "text": "x"}, "claim"),
        ("board_comment", {"task": ["T-1"], "text": "x"}, "task"),
    ],
)
def test_what_no_tool_takes_is_refused_by_its_name(name: str, arguments: dict[str, Any], names: str) -> None:
    with pytest.raises(NotDoneError, match=names) as told:
        question(name, arguments)
    assert told.value.code == "invalid"
    assert TOKEN not in told.value.message
