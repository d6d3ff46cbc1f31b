"""The team in figures: who does what, and what waits."""

from typing import Any

import pytest

from scheduler.core import commands as c
from scheduler.core.beats import Beat
from scheduler.core.capacity import Blocked
from scheduler.core.dispatch import dispatch
from scheduler.core.figures import (
    BoardFacts,
    Doing,
    Figures,
    Holding,
    Load,
    Pile,
    Reason,
    as_table,
    deferred,
    figures,
    why_deferred,
)
from scheduler.core.sighting import Sighting
from scheduler.core.snapshot import EVERYBODY, AgentRecord, BoardSnapshot
from scheduler.core.states import Status
from tests.core.scheduler.boards import NOW, a_world, budget, held, sighting, waiting

DAY = 86_400.0
TEAM = {"coo": "Lu", "coder": "coder"}


def of(facts: BoardFacts, *, stale: tuple[str, ...] = ()) -> Figures:
    return figures(facts, TEAM, stale, since=NOW - DAY, now=NOW)


def pile(status: Status, agent: str | None = "coder", count: int = 1, **more: Any) -> Pile:
    return Pile(agent, status, count, more.pop("oldest_at", NOW - 3600), **more)


# -- what somebody does ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "stale", "doing"),
    [
        (BoardFacts(), (), Doing.IDLE),
        (BoardFacts(piles=(pile(Status.BLOCKED),)), (), Doing.BLOCKED),
        (BoardFacts(piles=(pile(Status.BLOCKED), pile(Status.PENDING))), (), Doing.WAITING),
        (BoardFacts(piles=(pile(Status.PENDING),)), ("coder",), Doing.STALE),
        (BoardFacts(paused_until={"coder": NOW + 1}), ("coder",), Doing.PAUSED),
        (BoardFacts(paused_until={EVERYBODY: NOW + 1}), (), Doing.PAUSED),
        (BoardFacts(paused_until={"coder": NOW, "coo": NOW + 1}), (), Doing.IDLE),
        (
            BoardFacts(holdings=(Holding("coder", "T-0001"),), paused_until={"coder": NOW + 1}),
            ("coder",),
            Doing.WORKING,
        ),
        (
            BoardFacts(holdings=(Holding("coder", "T-0001"), Holding("coder", "T-0002", suspect=True))),
            (),
            Doing.SUSPECT,
        ),
        (BoardFacts(holdings=(Holding("coo", "T-0001"),)), (), Doing.IDLE),
    ],
)
def test_of_several_states_the_one_that_matters_most_is_shown(
    facts: BoardFacts, stale: tuple[str, ...], doing: Doing
) -> None:
    (coder,) = [each for each in of(facts, stale=stale).agents if each.agent == "coder"]
    assert coder.doing is doing


def test_the_team_is_in_its_order_then_whoever_else_has_tasks_then_what_is_nobodys() -> None:
    facts = BoardFacts(
        piles=(pile(Status.PENDING, None), pile(Status.PENDING, "zoe"), pile(Status.REVIEW, "coo")),
        loads=(Load("ann", 1, 60.0),),
    )
    assert [each.agent for each in of(facts).agents] == ["coo", "coder", "ann", "zoe", None]


def test_backlog_and_load_are_added_up() -> None:
    found = of(
        BoardFacts(
            piles=(
                pile(Status.PENDING, count=3, oldest_at=NOW - 7200),
                pile(Status.REVIEW, count=2, oldest_at=NOW - 9000),
                pile(Status.PENDING, None, count=4),
            ),
            loads=(Load("coder", 5, 900.0), Load("coo", 1, 60.0)),
        )
    )
    coo, coder, nobody = found.agents
    assert coo.backlog == {}
    assert coder.backlog == {Status.PENDING: 3, Status.REVIEW: 2}
    assert nobody.backlog == {Status.PENDING: 4}
    assert coder.waiting_since == NOW - 7200
    assert coo.waiting_since is None
    assert (coder.runs, coder.run_seconds) == (5, 900.0)
    assert found.backlog[Status.PENDING] == 7
    assert found.backlog[Status.BLOCKED] == 0
    assert Status.DONE not in found.backlog


def test_why_somebody_waits_is_why_the_first_in_its_line_does() -> None:
    facts = BoardFacts(
        piles=(pile(Status.PENDING, count=4),),
        reasons=(
            Reason("coder", "in line for coder", 2),
            Reason("coder", None, 1),
            Reason("coder", "the budget feeds no further run", 1),
            Reason("coo", "all agents are paused", 1),
        ),
    )
    (coder,) = [each for each in of(facts).agents if each.agent == "coder"]
    assert coder.because == "the budget feeds no further run"


# -- in words ----------------------------------------------------------------------------------------------


def test_the_table_says_it_all_and_foreign_text_cannot_end_a_row() -> None:
    found = figures(
        BoardFacts(
            piles=(
                pile(Status.PENDING, "coo", count=2, oldest_at=NOW - 3 * DAY),
                pile(Status.WORKING, count=1),
                pile(Status.CLAIMED, count=1),
                pile(Status.PENDING, None),
            ),
            holdings=(Holding("coder", "T-0007"),),
            loads=(Load("coder", 5, 9000.0),),
            reasons=(Reason("coo", "a | b\nc", 2),),
        ),
        {"coo": "Lu | x", "coder": "coder", "idle": "idle", "calm": "calm"},
        (),
        since=NOW - DAY,
        now=NOW,
    )
    assert as_table(found).splitlines() == [
        "| Agent | State | Pending | At work | In review | Blocked | Waiting for | Runs | Run time |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        "| coo (Lu \\| x) | waiting: a \\| b c | 2 | 0 | 0 | 0 | 3 d | 0 | 0 s |",
        "| coder | working: T-0007 | 0 | 2 | 0 | 0 | - | 5 | 2 h |",
        "| idle | idle | 0 | 0 | 0 | 0 | - | 0 | 0 s |",
        "| calm | idle | 0 | 0 | 0 | 0 | - | 0 | 0 s |",
        "| nobody's | - | 1 | 0 | 0 | 0 | 60 min | 0 | 0 s |",
        "",
        "Open in all: 3 pending, 1 claimed, 1 working. Runs are those of the last 24 hours.",
    ]


def test_an_empty_board_is_a_table_too() -> None:
    text = as_table(of(BoardFacts(piles=(pile(Status.PENDING, "coo"),))))
    assert "| coo (Lu) | waiting | 1 |" in text, "nobody has said why yet"
    assert as_table(of(BoardFacts())).endswith("Open in all: nothing. Runs are those of the last 24 hours.")


# -- deferred ----------------------------------------------------------------------------------------------


def reasons(**world: Any) -> list[str]:
    """The words of the plan itself, for two tasks of `coder`."""
    given: dict[str, Any] = {"agents": (), "look": sighting(), "attempts": ()} | world
    board = BoardSnapshot(
        waiting=(waiting(1), waiting(2)),
        agents={each.agent: each for each in given.pop("agents")},
        attempts=given.pop("attempts"),
    )
    found = dispatch(a_world(board, given.pop("look"), **given), NOW)
    return [each.because for each in found if isinstance(each, c.Explain)]


@pytest.mark.parametrize(
    "world",
    [
        pytest.param({"agents": (AgentRecord(EVERYBODY, paused_until=NOW + 9),)}, id="all paused"),
        pytest.param({"agents": (AgentRecord("coder", paused_until=NOW + 9),)}, id="paused"),
        pytest.param({"look": sighting(busy={"coder": NOW})}, id="a person talks"),
        pytest.param({"look": Sighting(up=False, error="gone")}, id="the gateway is down"),
        pytest.param({"capacity": budget(quiet_until=NOW + 9)}, id="quiet"),
        pytest.param({"capacity": budget(blocked=Blocked("auth", None))}, id="blocked"),
    ],
)
def test_what_waits_because_nothing_may_start_is_deferred_with_all_behind_it(world: dict[str, Any]) -> None:
    words = reasons(**world)
    assert len(words) == 2
    assert deferred(words) == 2
    assert why_deferred(["", *words]) == words[0]


@pytest.mark.parametrize(
    "world",
    [
        pytest.param({"capacity": budget(0.0)}, id="no budget"),
        pytest.param({"attempts": (held(number=90, claimant="coder")[1],)}, id="at work"),
    ],
)
def test_what_waits_for_its_turn_is_not(world: dict[str, Any]) -> None:
    words = reasons(**world)
    assert words
    assert deferred(words) == 0
    assert why_deferred([None, *words]) == ""


# -- one heartbeat -----------------------------------------------------------------------------------------


def test_a_heartbeat_is_never_early() -> None:
    assert Beat("coo", NOW, NOW + 2.5).lateness == 2.5
    assert Beat("coo", NOW, NOW - 5).lateness == 0.0


def test_a_call_is_avoided_where_there_is_nothing_to_do() -> None:
    assert Beat("coo", NOW, NOW, unchanged=True).avoided
    assert not Beat("coo", NOW, NOW, unchanged=True, ok=False).avoided
    assert not Beat("coo", NOW, NOW, unchanged=True, pending=1).avoided
    assert not Beat("coo", NOW, NOW, unchanged=True, started=1).avoided
    assert not Beat("coo", NOW, NOW).avoided
