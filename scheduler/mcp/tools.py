"""The nine tools: what each is called, what it asks of the board, and how it is described to a model. Pure.

Which fields there are, and within what limits, the bodies of the verbs say (`scheduler.verbs.bodies`); here
stands what they mean. A tool takes two arguments beside them, `task` and `claim`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from types import MappingProxyType
from typing import Any, Final

import msgspec

from scheduler.core.claims import ClaimToken, parse_token
from scheduler.core.errors import Code, Refused
from scheduler.verbs import NEXT, VERBS

Schema = dict[str, Any]

INSTRUCTIONS: Final = (
    "The team's board of tasks. Work under a claim: pass its token as `claim`, say with board_heartbeat how "
    "far you are, and end with board_output and final=true, or with board_block where a person has to help."
)


class Speaker(Enum):
    """Who calls, as far as the connection says."""

    NOBODY = auto()
    AGENT = auto()
    """by the token of its claim"""
    OPERATOR = auto()


class NotDoneError(Exception):
    """The board was asked and nothing came of it; `code` and `message` are those of every other way to it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Question:
    """A call, as the board is asked."""

    verb: str
    task: str | None
    body: Mapping[str, object]
    claim: ClaimToken | None = None
    """None: whoever carries the call knows who asks"""


@dataclass(frozen=True, slots=True)
class Tool:
    """`fields`: those of the verb's body that it takes, and what they mean."""

    verb: str
    about: str
    fields: Mapping[str, str]
    needed: tuple[str, ...] = ()
    task: str = "The task's id, as T-0042; left out, it is the task of your claim."
    """'' for a tool that is about no task"""

    @property
    def reads(self) -> bool:
        """Changes nothing, and may be asked by anybody."""
        return VERBS[self.verb].readers


_REASON: Final = "Why, in a sentence that somebody else understands."

TOOLS: Final[Mapping[str, Tool]] = MappingProxyType(
    {
        "board_list": Tool(
            "list",
            "List the tasks on the board, the next page by `cursor`.",
            {
                "status": "Only tasks in one of these states; a single one may be a word.",
                "assignee": "Only tasks of this agent.",
                "claimable": "Only tasks that can be claimed now.",
                "archived": "Archived tasks too.",
                "limit": "At most so many.",
                "cursor": "The `next_cursor` of the page before.",
            },
            task="",
        ),
        "board_read": Tool(
            "read",
            "Read a task: its card, and with `full` everything that was said, handed in and decided.",
            {"full": "With outputs, comments, observations, decisions, attempts and events."},
            needed=("task",),
            task="The task's id, as T-0042.",
        ),
        "board_claim": Tool(
            "claim",
            "Claim a task to work on it; the answer has the claim token that every write on it needs.",
            {
                "agent": "Who claims; left out, it is the agent of your claim.",
                "ttl": "How many seconds the claim holds without a write.",
            },
            task="The task's id, as T-0042; left out, the most urgent one that may be claimed.",
        ),
        "board_heartbeat": Tool(
            "heartbeat",
            "Say at least every 10 minutes that you are at work on your task and how far you are.",
            {
                "turn": "The number of the turn that has begun.",
                "note": "Progress, in words; it becomes a comment.",
                "waiting_for": "What you wait for; nobody calls you stuck until your next write.",
            },
        ),
        "board_output": Tool(
            "output",
            "Hand in a part of your task's result as a file, or with `final` the result: then you are done.",
            {
                "text": "The content, as text; this or content_base64.",
                "content_base64": "The content, as Base64; this or text.",
                "name": "The file's name, output.md if left out.",
                "final": "True for the result: the task goes into review.",
            },
        ),
        "board_comment": Tool(
            "comment",
            "Ask or say something about your task, for whoever reads it.",
            {"text": "What you say."},
            needed=("text",),
        ),
        "board_observe": Tool(
            "observe",
            "Note something about your task that others should know, without asking anything.",
            {"text": "What you noticed."},
            needed=("text",),
        ),
        "board_block": Tool(
            "block",
            "Say that your task cannot go on without a person, and stop working on it.",
            {"reason": "What is missing, as a question that a person can answer."},
            needed=("reason",),
        ),
        "board_release": Tool(
            "release",
            "Give your task back to the board, for somebody else to claim.",
            {"reason": _REASON},
        ),
    }
)

_CLAIM: Final[Schema] = {
    "type": "string",
    "description": "The claim token that you were given with your task, as T-0042.1.secret.",
}


def question(name: str, arguments: Mapping[str, object]) -> Question:
    """What a call asks. Raises NotDoneError for what no tool takes; the rest is the board's to judge."""
    tool = TOOLS[name]
    body = dict(arguments)
    task = _text(body, "task") if tool.task else None
    claim = None if tool.reads else _text(body, "claim")
    if unknown := body.keys() - tool.fields:
        raise NotDoneError(Code.INVALID, f"{name} takes no {', '.join(sorted(unknown))}")
    given = {field: value for field, value in body.items() if value is not None}
    if isinstance(word := given.get("status"), str):
        given["status"] = [word]  # models say one where several may stand
    if tool.verb == "claim" and task is None:
        task = NEXT
    try:
        token = None if claim is None else parse_token(claim)
    except Refused as refused:
        raise NotDoneError(refused.code, f"claim: {refused.message}") from refused
    return Question(tool.verb, task, given, token)


def _text(body: dict[str, object], name: str) -> str | None:
    """Taken out of the body. Models say nothing in more than one way."""
    value = body.pop(name, None)
    if value is not None and not isinstance(value, str):
        raise NotDoneError(Code.INVALID, f"{name}: a text is needed")
    return value or None


def input_schema(name: str, speaker: Speaker) -> Schema:
    """JSON Schema of the arguments, for whoever speaks where none of them says who does."""
    tool = TOOLS[name]
    known = _fields(VERBS[tool.verb].body)
    properties: Schema = {}
    if not tool.reads:
        properties["claim"] = _CLAIM
    if tool.task:
        properties["task"] = {"type": "string", "description": tool.task}
    for field, about in tool.fields.items():
        properties[field] = {**known[field], "description": about}
    required = [*_who(tool, speaker), *tool.needed]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _who(tool: Tool, speaker: Speaker) -> list[str]:
    """What it takes to know who acts. An operator may write without a claim; an agent that it lends its name
    to should not, and is not told."""
    if tool.reads or speaker is Speaker.AGENT:
        return []
    return ["agent"] if tool.verb == "claim" and speaker is Speaker.OPERATOR else ["claim"]


def _fields(body: type[msgspec.Struct]) -> Schema:
    """The fields of a body, without what models stumble over: references, and `null` for what is left out."""
    _, schemas = msgspec.json.schema_components([body])
    return {name: _plain(field, schemas) for name, field in schemas[body.__name__]["properties"].items()}


def _plain(schema: Schema, schemas: Mapping[str, Schema]) -> Schema:
    if "$ref" in schema:
        return {"type": "string", "enum": schemas[schema["$ref"].rpartition("/")[2]]["enum"]}
    if "anyOf" in schema:
        return next(each for each in schema["anyOf"] if each != {"type": "null"})
    plain = {key: value for key, value in schema.items() if key != "default" or value}
    return {**plain, "items": _plain(schema["items"], schemas)} if "items" in schema else plain
