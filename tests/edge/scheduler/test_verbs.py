"""What can be asked of the board: bodies, who may ask what, and the answers' shape."""

import base64
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from scheduler.blackboard.errors import BoardBroken, BoardBusy, BoardUnavailable
from scheduler.blackboard.store import Store
from scheduler.core.claims import parse_token
from scheduler.core.errors import Code, Refused
from scheduler.verbs import NEXT, OUTCOMES, VERBS, Caller, Holder, Operator, Reader, failure, perform
from tests.fresh_board import fresh_board

Ask = Callable[..., Any]
ONLY_OPERATORS = {"create", "set", "decide", "retry", "stop", "cancel", "answer", "archive"}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store.open(
        fresh_board(tmp_path / "board.db"), artifacts=tmp_path / "artifacts", high_risk=("delete_file",)
    )
    yield store
    store.close()


@pytest.fixture
def ask(store: Store) -> Ask:
    """`ask("claim", "T-0001", {"agent": "ada"}, now=2000.0)`; an operator called Olga asks."""

    def ask(
        verb: str,
        task: str | None = None,
        body: Mapping[str, object] | None = None,
        caller: Caller = Operator("olga"),  # noqa: B008 - frozen
        *,
        now: float = 1000.0,
        **more: Any,
    ) -> Any:
        return perform(store, verb, task, {} if body is None else body, caller, now, **more)

    return ask


def refusal(ask: Ask, *question: Any, **more: Any) -> Refused:
    with pytest.raises(Refused) as refused:
        ask(*question, **more)
    return refused.value


def claimed(ask: Ask, task: str = "T-0001", agent: str = "ada") -> Holder:
    return Holder(parse_token(ask("claim", task, {"agent": agent})["claim"]))


def test_a_task_is_created_by_whoever_asks_with_the_settings_limits(ask: Ask) -> None:
    task = ask("create", None, {"title": "Write it"}, max_attempts=5)
    assert (task["id"], task["creator"], task["status"], task["max_attempts"]) == (
        "T-0001",
        "olga",
        "pending",
        5,
    )


def test_every_field_of_the_card_can_be_given(ask: Ask) -> None:
    ask("create", None, {"title": "first"})
    body = {
        "title": "x",
        "description": "d",
        "priority": "urgent",
        "creator": "carl",
        "assignee": "ada",
        "depends_on": ["T-0001", "T-0001"],
        "source": "todo",
        "external_id": "todo.md:3",
        "risk_tools": ["ls"],
        "expects": ["nonempty"],
        "review": "person",
        "max_attempts": 2,
        "max_turns": 7,
        "not_before": "2026-03-01T17:30:00+08:00",
    }
    task = ask("create", None, body)
    expected = body | {"depends_on": ["T-0001"], "not_before": "2026-03-01T09:30:00.000Z"}
    assert {name: task[name] for name in body} == expected


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "title"),
        ({"title": 3}, "title"),
        ({"title": " "}, "title"),
        ({"title": "x" * 501}, "title"),
        ({"title": "a\0b"}, "title"),
        ({"title": "half \ud83d"}, "title"),
        ({"title": "x", "depends_on": ["\0"]}, "depends_on"),
        ({"title": "x", "colour": "red"}, "colour"),
        ({"title": "x", "priority": "medium"}, "priority"),
        ({"title": "x", "assignee": "Ada Lovelace"}, "agent id"),
        ({"title": "x", "max_attempts": 0}, "max_attempts"),
        ({"title": "x", "max_turns": True}, "max_turns"),
        ({"title": "x", "not_before": "tomorrow"}, "not_before"),
        ({"title": "x", "expects": ["regex:("]}, "regex"),
        ({"title": "x", "expects": "nonempty"}, "expects"),
        ({"title": "x", "review": "nobody"}, "review"),
        ({"title": "x", "source": "elsewhere"}, "source"),
        ([], "object"),
        (None, "object"),
    ],
)
def test_a_wrong_body_is_invalid_and_the_field_is_named(
    ask: Ask, store: Store, body: Any, named: str
) -> None:
    refused = refusal(ask, "create", None, body if body is not None else "text")
    assert refused.code is Code.INVALID
    assert named in refused.message
    assert store.last_event() == 0


def test_set_changes_what_is_given_and_nothing_else(ask: Ask) -> None:
    ask("create", None, {"title": "x", "assignee": "ada", "description": "stays"})
    task = ask(
        "set", "T-0001", {"assignee": None, "priority": "low", "not_before": None, "expects": ["json"]}
    )
    assert (task["assignee"], task["priority"], task["description"]) == (None, "low", "stays")
    assert task["expects"] == ["json"]


def test_set_of_nothing_and_of_what_cannot_be_set_is_invalid(ask: Ask) -> None:
    ask("create", None, {"title": "x"})
    assert refusal(ask, "set", "T-0001", {}).code is Code.INVALID
    for body in ({"status": "done"}, {"epoch": 3}, {"title": None}, {"source": "todo"}):
        assert refusal(ask, "set", "T-0001", body).code is Code.INVALID


def test_a_list_is_a_page_with_the_way_to_the_next(ask: Ask) -> None:
    for number in range(5):
        ask("create", None, {"title": str(number), "assignee": "ada" if number % 2 else "bob"})
    page = ask("list", None, {"limit": 2})
    rest = ask("list", None, {"cursor": page["next_cursor"], "limit": "4"})
    assert [task["title"] for task in page["tasks"] + rest["tasks"]] == list("01234")
    assert rest["next_cursor"] is None
    assert len(ask("list", None, {"assignee": "ada"})["tasks"]) == 2
    ask("claim", "T-0001", {"agent": "bob"})
    assert len(ask("list", None, {"claimable": "1"})["tasks"]) == 4
    assert len(ask("list", None, {"status": ["claimed", "working"]})["tasks"]) == 1


@pytest.mark.parametrize(
    "query",
    [{"limit": "0"}, {"limit": "1001"}, {"limit": "x"}, {"status": ["new"]}, {"cursor": "?"}, {"x": "1"}],
)
def test_a_wrong_query_is_invalid(ask: Ask, query: dict[str, object]) -> None:
    assert refusal(ask, "list", None, query).code is Code.INVALID


def test_read_in_full_has_all_that_stands_beside_the_card(ask: Ask) -> None:
    ask("create", None, {"title": "x"})
    holder = claimed(ask)
    ask("comment", None, {"text": "hello"}, holder)
    ask("observe", None, {"text": "odd"}, holder)
    ask("output", None, {"text": "result", "name": "r.md", "final": True}, holder)
    ask("decide", "T-0001", {"by": "paul", "accept": True, "reason": "fine"})
    full = ask("read", "T-0001", {"full": "1"}, Reader())
    assert [said["text"] for said in full["comments"]] == ["hello"]
    assert [said["author"] for said in full["observations"]] == ["ada"]
    assert [(output["name"], output["final"]) for output in full["outputs"]] == [("r.md", True)]
    assert full["decisions"][0] | {"at": None} == {
        "by": "paul", "at": None, "decision": "accept", "reason": "fine",
    }  # fmt: skip
    assert [event["what"] for event in full["events"]][:2] == ["created", "claim"]
    assert "comments" not in ask("read", "T-0001")


@pytest.mark.parametrize("verb", sorted(set(VERBS) - {"create", "list", "claim-next"}))
@pytest.mark.parametrize("task", ["T-0099", "T-99", "../etc/passwd", "", "T-0001 ", "t-0001"])
def test_an_unknown_id_is_not_found_whatever_is_asked(ask: Ask, verb: str, task: str) -> None:
    bodies = {
        "claim": {"agent": "a"},
        "set": {"title": "x"},
        "output": {"text": "x"},
        "decide": {"accept": True},
    }
    assert refusal(ask, verb, task, bodies.get(verb, {})).code is Code.NOT_FOUND


def test_an_operator_says_which_task(ask: Ask) -> None:
    assert refusal(ask, "read").code is Code.INVALID


def test_a_verb_that_is_none_is_not_found(ask: Ask) -> None:
    assert refusal(ask, "explode", "T-0001").code is Code.NOT_FOUND


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_only_reading_is_open_to_everybody(ask: Ask, verb: str) -> None:
    ask("create", None, {"title": "x"})
    body: dict[str, object] = {"title": "x"} if verb == "create" else {}
    if verb in {"read", "list"}:
        ask(verb, "T-0001", body, Reader())
    else:
        assert refusal(ask, verb, "T-0001", body, Reader()).code is Code.FORBIDDEN


@pytest.mark.parametrize("verb", sorted(ONLY_OPERATORS))
def test_a_claim_token_never_steers(ask: Ask, store: Store, verb: str) -> None:
    ask("create", None, {"title": "x"})
    holder = claimed(ask)
    before = store.last_event()
    body = {"create": {"title": "x"}, "set": {"title": "y"}}.get(verb, {})
    assert refusal(ask, verb, "T-0001", body, holder).code is Code.FORBIDDEN
    assert store.last_event() == before


def test_the_table_allows_under_a_claim_what_the_contract_says() -> None:
    assert {name for name, verb in VERBS.items() if not verb.holders} == ONLY_OPERATORS


def test_a_holder_writes_on_its_own_task_alone(ask: Ask) -> None:
    ask("create", None, {"title": "mine"})
    ask("create", None, {"title": "not mine"})
    holder = claimed(ask)
    for verb, body in (
        ("heartbeat", {}),
        ("comment", {"text": "x"}),
        ("observe", {"text": "x"}),
        ("output", {"text": "x"}),
        ("block", {"reason": "x"}),
        ("fail", {"reason": "x"}),
        ("release", {}),
    ):
        assert refusal(ask, verb, "T-0002", body, holder).code is Code.STALE_CLAIM
    assert ask("heartbeat", None, {"turn": 3, "waiting_for": "ci"}, holder)["turns"] == 3


def test_a_holder_speaks_in_its_own_name_alone(ask: Ask) -> None:
    ask("create", None, {"title": "x"})
    holder = claimed(ask)
    assert refusal(ask, "comment", None, {"text": "x", "author": "bob"}, holder).code is Code.FORBIDDEN
    ask("comment", None, {"text": "x", "author": "ada"}, holder)


def test_a_claim_token_in_the_body_counts_more_than_who_shows_it(ask: Ask) -> None:
    ask("create", None, {"title": "x"})
    token = ask("claim", "T-0001", {"agent": "ada"})["claim"]
    assert ask("heartbeat", None, {"claim": token}, Reader())["status"] == "working"
    ask("release", "T-0001", {"claim": token})
    assert refusal(ask, "release", "T-0001", {"claim": token}).code is Code.STALE_CLAIM
    assert refusal(ask, "release", "T-0001", {"claim": "nonsense"}).code is Code.INVALID


def test_a_claim_answers_with_the_token_and_the_task(ask: Ask) -> None:
    ask("create", None, {"title": "x"})
    claim = ask("claim", "T-0001", {"agent": "ada", "ttl": 60})
    assert set(claim) == {"id", "claim", "epoch", "expires_at", "task"}
    assert claim["expires_at"] == "1970-01-01T00:17:40.000Z"
    assert claim["claim"].startswith("T-0001.1.")


@pytest.mark.parametrize("ttl", [0, 0.5, 86_401, -1, "60", None, float("inf")])
def test_a_lease_lasts_from_a_second_to_a_day(ask: Ask, ttl: object) -> None:
    ask("create", None, {"title": "x"})
    assert refusal(ask, "claim", "T-0001", {"agent": "ada", "ttl": ttl}).code is Code.INVALID


def test_a_holder_claims_further_tasks_as_itself_alone(ask: Ask) -> None:
    for title in "abcd":
        ask("create", None, {"title": title})
    holder = claimed(ask)
    assert ask("claim", "T-0002", {}, holder)["task"]["claimant"] == "ada"
    assert ask("claim", NEXT, {"agent": "ada"}, holder)["id"] == "T-0003"
    assert refusal(ask, "claim-next", None, {"agent": "bob"}, holder).code is Code.FORBIDDEN
    ask("release", None, {}, holder)
    assert refusal(ask, "claim", "T-0004", {}, holder).code is Code.STALE_CLAIM


def test_a_claim_needs_an_agent_and_the_next_one_something_to_claim(ask: Ask) -> None:
    assert refusal(ask, "claim-next", None, {}).code is Code.INVALID
    assert refusal(ask, "claim-next", None, {"agent": "ada"}).code is Code.NOTHING_CLAIMABLE


def test_an_operator_writes_without_a_token_where_somebody_is_at_work(ask: Ask) -> None:
    ask("create", None, {"title": "x"})
    assert refusal(ask, "heartbeat", "T-0001").code is Code.ILLEGAL_TRANSITION
    claimed(ask)
    assert ask("comment", "T-0001", {"text": "look"})["status"] == "claimed"
    assert ask("comment", "T-0001", {"text": "I see", "author": "ada"})["status"] == "working"
    assert ask("heartbeat", "T-0001", {"turn": 1})["turns"] == 1


def test_an_output_comes_as_text_as_base64_or_as_a_file(ask: Ask, store: Store) -> None:
    ask("create", None, {"title": "x"})
    holder = claimed(ask)
    content = bytes(range(256))
    ask("output", None, {"text": "grüße"}, holder)
    ask("output", None, {"content_base64": base64.b64encode(content).decode(), "name": "b.bin"}, holder)
    with store.receiver() as receiver:
        receiver.write(content)
        answer = ask("output", None, {"name": "c.bin", "final": True}, holder, received=receiver.finish())
    assert answer["status"] == "review"
    assert answer["output"]["size_bytes"] == 256
    outputs = store.thread("T-0001").outputs
    assert [output.name for output in outputs] == ["output.md", "b.bin", "c.bin"]
    assert [store.output_file(output).read_bytes() for output in outputs] == [
        "grüße".encode(),
        content,
        content,
    ]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"text": "x", "content_base64": "eA=="},
        {"content_base64": "not base64"},
        {"content_base64": "ü"},
        {"text": "x", "name": "../../x"},
        {"text": "x", "name": ".hidden"},
        {"text": "x", "name": ""},
        {"text": "x", "final": "yes"},
        {"text": "\ud800"},
    ],
)
def test_a_wrong_output_is_invalid_and_leaves_no_file(
    ask: Ask, tmp_path: Path, body: dict[str, object]
) -> None:
    ask("create", None, {"title": "x"})
    assert refusal(ask, "output", None, body, claimed(ask)).code is Code.INVALID
    assert not [path for path in (tmp_path / "artifacts").rglob("*") if path.is_file()]


@pytest.mark.parametrize("word", ["accept", "rework"])
@pytest.mark.parametrize("as_word", [True, False])
def test_a_decision_is_a_word_or_one_that_is_true(ask: Ask, word: str, as_word: bool) -> None:
    ask("create", None, {"title": "x", "review": "person"})
    ask("output", None, {"text": "x", "final": True}, claimed(ask))
    body = {"decision": word} if as_word else {word: True}
    assert ask("decide", "T-0001", body)["status"] == {"accept": "done", "rework": "pending"}[word]


@pytest.mark.parametrize(
    "body",
    [{}, {"accept": True, "rework": True}, {"decision": "maybe"}, {"decision": "accept", "reject": True}],
)
def test_a_decision_that_is_none_is_invalid(ask: Ask, body: dict[str, object]) -> None:
    ask("create", None, {"title": "x"})
    assert refusal(ask, "decide", "T-0001", body).code is Code.INVALID


def test_high_risk_tools_wait_for_somebody_other_than_the_assignee(ask: Ask) -> None:
    task = ask("create", None, {"title": "x", "risk_tools": ["delete_file"], "assignee": "ada"})
    assert (task["status"], task["blocked_by"], task["approval"]) == ("blocked", "approval", "required")
    approve = {"approve": True, "by": "ada"}
    assert refusal(ask, "decide", "T-0001", approve).code is Code.APPROVAL_REQUIRED
    assert refusal(ask, "claim", "T-0001", {"agent": "ada"}).code is Code.APPROVAL_REQUIRED
    assert ask("decide", "T-0001", approve | {"by": "paul"})["status"] == "pending"


def test_people_steer_a_task_off_its_way_and_back(ask: Ask) -> None:
    ask("create", None, {"title": "x"})
    assert refusal(ask, "block", "T-0001", {}).code is Code.INVALID
    assert ask("stop", "T-0001")["blocked_reason"] == "stopped by olga"
    assert ask("answer", "T-0001", {"text": "go on", "author": "paul"})["status"] == "pending"
    assert ask("cancel", "T-0001", {"reason": "no"})["status"] == "failed"
    assert ask("retry", "T-0001")["status"] == "pending"
    assert refusal(ask, "archive", "T-0001").code is Code.ILLEGAL_TRANSITION
    assert ask("fail", "T-0001", {"reason": "no"})["status"] == "failed"
    assert ask("archive", "T-0001", now=1500.0)["archived_at"] == "1970-01-01T00:25:00.000Z"
    assert ask("list")["tasks"] == []
    assert len(ask("list", None, {"archived": True})["tasks"]) == 1


def test_every_refusal_has_a_status_and_an_exit_code() -> None:
    assert set(OUTCOMES) == {*Code, "database_unavailable", "busy"}
    told = failure(Refused(Code.STALE_CLAIM, "too late"))
    assert (told.code, told.message, told.outcome.status, told.outcome.exit_code) == (
        "stale_claim",
        "too late",
        409,
        4,
    )
    for error, code, status, exit_code in (
        (BoardUnavailable("gone"), "database_unavailable", 503, 5),
        (BoardBroken("broken"), "database_unavailable", 503, 5),
        (BoardBusy("busy"), "busy", 503, 75),
    ):
        told = failure(error)
        assert (told.code, told.outcome.status, told.outcome.exit_code) == (code, status, exit_code)


def test_the_operators_name_stands_in_the_events(ask: Ask, store: Store) -> None:
    ask("create", None, {"title": "x"}, Operator("paul"))
    assert store.thread("T-0001").events[0].who == "paul"
