"""Sources that are missing, broken, slow or too large: told as such, never as an empty list; and what only
one of them can do.
"""

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from scheduler.core.exchange.items import Stage
from scheduler.core.task import Source
from scheduler.gateway import Answer, Gateway
from scheduler.settings import Settings
from scheduler.sources import multica_reading
from scheduler.sources.configured import configured
from scheduler.sources.multica import Multica
from scheduler.sources.protocol import SourceOffError, SourceRefusedError, SourceUnavailableError
from scheduler.sources.shared import Shared
from scheduler.sources.workboard import WorkBoard
from shared.settings import load
from tests.integration.processes import until
from tests.integration.scheduler.daemons import run_scheduler
from tests.integration.scheduler.sources import OPS_ID, MulticaSide, Side, TodoSide, WorkBoardSide, a_roster
from tests.integration.scheduler.teams import metric, roster
from tests.openclaw_stand_in import StandIn
from tests.openclaw_stand_in.workboard import OFF

pytestmark = pytest.mark.integration

Foreign = WorkBoardSide | MulticaSide
FOREIGN = pytest.mark.parametrize("kind", [WorkBoardSide, MulticaSide])
MANY = 10_000


def every_question(side: Side) -> dict[str, Callable[[], Awaitable[object]]]:
    source, ops, card = side.source, side.roster.agents["ops"], "37142c7e-92e0-4269-ad11-58093b8bef2f"
    return {
        "list_todo": lambda: source.list_todo(ops),
        "list_in_progress": source.list_in_progress,
        "look": lambda: source.look(card),
        "look_all": lambda: source.look_all([card, "another"]),
        "claim": lambda: source.claim(card, ops),
        "comment": lambda: source.comment(card, "Hello."),
        "release": lambda: source.release(card, ops, "", stage=Stage.TODO, why="No progress."),
        "finish": lambda: source.finish(card, ops, "", summary="Done."),
    }


async def all_are_unavailable(side: Side, *words: str) -> None:
    for name, ask in every_question(side).items():
        with pytest.raises(SourceUnavailableError) as unavailable:
            await ask()
        assert all(word in str(unavailable.value) for word in words), (name, str(unavailable.value))


@FOREIGN
async def test_a_command_that_is_missing_is_unavailable(kind: type[Foreign], tmp_path: Path) -> None:
    side = kind(tmp_path)
    nothing = (str(tmp_path / "not-installed"),)
    side.source = (
        WorkBoard(Gateway(nothing, {}), lambda: side.roster)
        if kind is WorkBoardSide
        else Multica(nothing, {}, "", lambda: side.roster)
    )
    await all_are_unavailable(side, "not-installed", "is not there")


@FOREIGN
@pytest.mark.parametrize(
    "garbage", ["Segmentation fault\n", "", "[[[[" * 10_000, '"text"', "{}", "[1, null]"]
)
async def test_garbage_is_unavailable_and_no_empty_list(
    garbage: str, kind: type[Foreign], tmp_path: Path
) -> None:
    side = kind(tmp_path)
    side.stand_in.garble(garbage)
    ops = side.roster.agents["ops"]
    if kind is MulticaSide and garbage == "[1, null]":
        assert await side.source.list_todo(ops) == []  # a list with nothing in it that has an id
        return
    with pytest.raises(SourceUnavailableError):
        await side.source.list_todo(ops)
    with pytest.raises(SourceUnavailableError):
        await side.source.list_in_progress()


@FOREIGN
async def test_more_than_can_be_an_answer_is_cut_off(kind: type[Foreign], tmp_path: Path) -> None:
    side = kind(tmp_path)
    if isinstance(side, MulticaSide):
        side.stand_in.flood(60)
    else:
        flood = tmp_path / "flood.py"
        flood.write_text("import sys\nfor _ in range(60): sys.stdout.write('[' * 1024**2)", encoding="utf-8")
        side.source = WorkBoard(Gateway((sys.executable, str(flood)), {}), lambda: side.roster)
    with pytest.raises(SourceUnavailableError, match="said more than"):
        await side.source.list_todo(side.roster.agents["ops"])


@FOREIGN
async def test_one_that_does_not_answer_is_given_up(kind: type[Foreign], tmp_path: Path) -> None:
    side = kind(tmp_path)
    side.stand_in.slow(60)
    shared = Shared(side.source, time_limit_seconds=0.2)
    with pytest.raises(SourceUnavailableError, match=r"did not answer within 0\.2 s"):
        await shared.list_todo(side.roster.agents["ops"])
    with pytest.raises(SourceUnavailableError, match="did not answer"):
        await shared.claim("37142c7e", side.roster.agents["ops"])
    assert (shared.statistics().up, shared.statistics().failures_in_a_row) == (False, 2)


@pytest.mark.parametrize("kind", [WorkBoardSide, MulticaSide, TodoSide])
async def test_ten_thousand_items_are_listed(kind: type[Side], tmp_path: Path) -> None:
    side: Side = kind(tmp_path)  # type: ignore[call-arg]  # a protocol says nothing of how it is made
    match side:
        case WorkBoardSide():
            side.stand_in.add_cards(MANY, "ops")
        case MulticaSide():
            side.stand_in.add_many(120, assignee=OPS_ID)
        case TodoSide():
            side.document().write_text("".join(f"- [ ] Item {n}\n" for n in range(MANY)), encoding="utf-8")
    items = await side.source.list_todo(side.roster.agents["ops"])
    # Multica's come in pages of fifty, each of them a process.
    assert len({item.external_id for item in items}) == len(items) == (120 if kind is MulticaSide else MANY)


async def test_the_workboard_is_listed_while_the_gateway_is_down_and_takes_nothing(tmp_path: Path) -> None:
    side = WorkBoardSide(tmp_path)
    card = await side.add("Later")
    side.stand_in.go_down()
    ops = side.roster.agents["ops"]
    assert [item.external_id for item in await side.source.list_todo(ops)] == [card]
    with pytest.raises(SourceUnavailableError, match="ECONNREFUSED"):
        await side.source.claim(card, ops)
    side.stand_in.come_back()
    assert await side.source.claim(card, ops)


async def test_a_gateway_without_the_workboard_is_unavailable_and_refuses_no_card(tmp_path: Path) -> None:
    program = tmp_path / "old"
    program.write_text(
        "import json, sys\n"
        "print(json.dumps({'ok': False, 'error': {'type': 'gateway_request_error', 'code': 'INVALID_REQUEST',"
        " 'message': 'unknown method: ' + sys.argv[3], 'retryable': False}}))\nsys.exit(1)",
        encoding="utf-8",
    )
    side = WorkBoardSide(tmp_path)
    side.source = WorkBoard(Gateway((sys.executable, str(program)), {}), lambda: side.roster)
    await all_are_unavailable(side, "unknown method")


@pytest.mark.parametrize("how", OFF)
async def test_a_workboard_that_is_switched_off_says_so(how: str, tmp_path: Path) -> None:
    side = WorkBoardSide(tmp_path)
    ops, card = side.roster.agents["ops"], await side.add("Of before")
    side.stand_in.switch_workboard(how)
    for ask in (
        lambda: side.source.list_todo(ops),
        side.source.list_in_progress,
        lambda: side.source.look(card),
    ):
        with pytest.raises(SourceOffError, match="the WorkBoard cannot be listed"):
            await ask()
    with pytest.raises(SourceUnavailableError, match="unknown method"):
        await side.source.claim(card, ops)
    side.stand_in.switch_workboard("on")
    assert (await side.source.look(card)).stage is Stage.TODO


@pytest.mark.needs("minutes")
async def test_a_scheduler_beside_an_openclaw_without_the_workboard_is_healthy(tmp_path: Path) -> None:
    stand_in = StandIn(tmp_path)
    stand_in.switch_workboard("never on")
    env = {"SCHEDULER_RUNNER": "openclaw", "SCHEDULER_OPENCLAW": str(stand_in.program)}
    async with run_scheduler(tmp_path, env={**env, **roster(tmp_path, {"ops": {}})}) as scheduler:
        await until(lambda: scheduler.log_lines("source_off"), 30)
        code, health = await scheduler.health()
        board = health["components"]["sources"]["workboard"]
        assert (code, health["status"], board["status"]) == (200, "healthy", "off"), health
        assert "`openclaw plugins enable workboard`" in board["reason"]
        assert not await metric(scheduler, "scheduler_source_up")
        assert scheduler.log_lines("source_unavailable") == []


async def test_many_cards_are_looked_at_for_one_question(tmp_path: Path) -> None:
    side, asked = WorkBoardSide(tmp_path), list[tuple[str, ...]]()

    class Counted(Gateway):
        async def ask(self, *arguments: str) -> Answer:
            asked.append(arguments)
            return await super().ask(*arguments)

    side.source = WorkBoard(Counted(side.stand_in.command, side.stand_in.environ), lambda: side.roster)
    side.stand_in.add_cards(30, "ops")
    cards = [item.external_id for item in await side.source.list_todo(side.roster.agents["ops"])]
    looked = await side.source.look_all([*reversed(cards), "never-was"])
    assert [item.external_id for item in looked] == [*reversed(cards), "never-was"]
    assert looked[-1].stage is Stage.GONE
    assert len(asked) == 2


async def test_a_card_of_somebody_else_stays_theirs(tmp_path: Path) -> None:
    side = WorkBoardSide(tmp_path)
    ops, main = side.roster.agents["ops"], side.roster.agents["main"]
    card = await side.add("Theirs")
    theirs = await side.source.claim(card, ops)
    for handle in ("", "a-token-of-long-ago"):
        with pytest.raises(SourceRefusedError):
            await side.source.keep(card, main, handle)
        with pytest.raises(SourceRefusedError):
            await side.source.release(card, main, handle, stage=Stage.BLOCKED, why="Mine now.")
        with pytest.raises(SourceRefusedError):
            await side.source.finish(card, main, handle, summary="Mine now.")
    with pytest.raises(SourceRefusedError, match="already claimed by ops"):
        await side.source.claim(card, main)
    await side.source.keep(card, ops, theirs)
    assert side.stand_in.card(card)["status"] == "running"
    assert await side.said(card) == ""


@pytest.mark.parametrize(
    ("status", "fields"), [("done", {}), ("triage", {}), ("todo", {"agentId": "main"})], ids=str
)
async def test_a_card_that_was_moved_meanwhile_is_not_claimed_and_stays_as_it_is(
    status: str, fields: dict[str, str], tmp_path: Path
) -> None:
    side = WorkBoardSide(tmp_path)
    card = await side.add("Moved")
    side.stand_in.change_card(card, status=status, **fields)
    with pytest.raises(SourceRefusedError):
        await side.source.claim(card, side.roster.agents["ops"])
    now = side.stand_in.card(card)
    assert (now["status"], now["metadata"].get("claim")) == (status, None)


async def test_a_card_that_a_person_moved_under_its_claim_is_not_given_back(tmp_path: Path) -> None:
    side = WorkBoardSide(tmp_path)
    card, ops = await side.add("Moved"), side.roster.agents["ops"]
    handle = await side.source.claim(card, ops)
    side.stand_in.change_card(card, status="done")
    with pytest.raises(SourceRefusedError, match="done"):
        await side.source.release(card, ops, handle, stage=Stage.TODO, why="No progress.")
    await side.source.finish(card, ops, handle, summary="Done.")


@pytest.mark.parametrize(
    ("code", "words"), [(2, "cannot be reached"), (3, "multica auth status"), (1, "exit code 1")]
)
async def test_multica_away_or_locked_is_unavailable(code: int, words: str, tmp_path: Path) -> None:
    side = MulticaSide(tmp_path)
    side.stand_in.fail(code, "Could not connect to the Multica server.")
    await all_are_unavailable(side, words, "Could not connect")


async def test_multica_that_does_not_take_it_has_refused(tmp_path: Path) -> None:
    side = MulticaSide(tmp_path)
    ops = side.roster.agents["ops"]
    side.stand_in.fail(5, "Invalid request: no such status")
    with pytest.raises(SourceRefusedError, match="no such status"):
        await side.source.comment("37142c7e", "Hello.")
    for code in (4, 5):
        side.stand_in.fail(code, "There is no such assignee")
        with pytest.raises(SourceUnavailableError, match="no such assignee"):
            await side.source.list_todo(ops)


async def test_multica_is_asked_as_documented(tmp_path: Path) -> None:
    side = MulticaSide(tmp_path)
    source = Multica(side.stand_in.command, side.stand_in.environ, "w-1", lambda: side.roster)
    card, ops = await side.add("Ask"), side.roster.agents["ops"]
    await source.list_todo(ops)
    await source.claim(card, ops)
    await source.comment(card, "Hello.")
    calls = [" ".join(call) for call in side.stand_in.calls()]
    first = f"issue list --workspace-id w-1 --assignee-id {OPS_ID} --status todo --output json"
    assert calls[0] == first
    assert f"issue status {card} in_progress --workspace-id w-1 --no-start --output json" in calls
    assert f"issue comment add {card} --workspace-id w-1 --content-stdin --output json" in calls
    assert side.stand_in.comments(card) == ["/note Hello."]
    elsewhere = Multica(side.stand_in.command, side.stand_in.environ, "w-2", lambda: side.roster)
    with pytest.raises(SourceUnavailableError):
        await elsewhere.list_todo(ops)


@pytest.mark.parametrize("how", ["has_more", "bare", "never_ending"])
async def test_pages_are_taken_as_they_come(how: str, tmp_path: Path) -> None:
    side = MulticaSide(tmp_path)
    side.stand_in.add_many(120, assignee=OPS_ID)
    if how == "bare":
        side.stand_in.bare()
    if how == "never_ending":
        side.stand_in.never_ending()
    items = await side.source.list_todo(side.roster.agents["ops"])
    assert len(items) == len({item.external_id for item in items}) == (50 if how == "never_ending" else 120)
    offsets = [call[call.index("--offset") + 1] for call in side.stand_in.calls() if "--offset" in call]
    expected = {"has_more": ["50", "100"], "bare": ["50", "100", "120"], "never_ending": ["50"]}
    assert offsets == expected[how]


async def test_an_issue_is_listed_with_its_description_which_is_asked_for_once(tmp_path: Path) -> None:
    side = MulticaSide(tmp_path)
    issue = await side.add("Described")
    side.stand_in.change(issue, description="All of it.\nAnd more.", priority="medium", identifier="MUL-7")
    for _ in range(2):
        (item,) = await side.source.list_todo(side.roster.agents["ops"])
        assert (item.description, item.aliases) == ("All of it.\nAnd more.", ("MUL-7",))
    assert sum(call[:2] == ["issue", "get"] for call in side.stand_in.calls()) == 1
    side.stand_in.change(issue, description="Something else.", updated_at="2026-11-20T10:00:00Z")
    (item,) = await side.source.list_todo(side.roster.agents["ops"])
    assert item.description == "Something else."


async def test_what_cannot_be_learnt_of_single_issues_fails_no_listing_and_starts_no_child(
    tmp_path: Path,
) -> None:
    side = MulticaSide(tmp_path)
    parent = await side.add("Parent", "main")
    child = await side.add("Child", after=parent)
    side.stand_in.fail(1, "Too many requests.", only="get")
    (item,) = await side.source.list_todo(side.roster.agents["ops"])
    assert (item.external_id, item.description, item.waits_for) == (child, None, None)
    await side.source.claim(child, side.roster.agents["ops"])
    side.stand_in.fail()
    await side.source.release(child, side.roster.agents["ops"], "", stage=Stage.TODO, why="")
    await side.removed(parent)
    (item,) = await side.source.list_todo(side.roster.agents["ops"])
    assert (item.description, item.waits_for) == ("", ())


async def test_of_issues_under_way_only_what_is_listed_is_known(tmp_path: Path) -> None:
    side = MulticaSide(tmp_path)
    parent = await side.add("Parent", "main")
    child, alone = await side.add("Child", after=parent), await side.add("Alone")
    for issue, status in ((child, "in_progress"), (alone, "in_review")):
        side.stand_in.change(issue, description="All of it.", status=status, status_category=status)
    listed = {item.external_id: item for item in await side.source.list_in_progress()}
    assert (listed[child].description, listed[child].waits_for, listed[child].judged) == (None, None, False)
    assert (listed[alone].description, listed[alone].waits_for, listed[alone].judged) == (None, (), True)
    looked = await side.source.look(child)
    assert (looked.description, looked.waits_for) == ("All of it.", (parent,))


async def test_what_cannot_be_looked_at_is_left_out(tmp_path: Path) -> None:
    side = MulticaSide(tmp_path)
    issues = [await side.add(f"Issue {number}") for number in range(3)]
    assert {item.external_id for item in await side.source.look_all([*issues, "never-was"])} == {
        *issues,
        "never-was",
    }
    side.stand_in.fail(2, "Could not connect.", only="get")
    with pytest.raises(SourceUnavailableError, match="Could not connect"):
        await side.source.look_all(issues)
    (item,) = await side.source.look_all([*issues, "--help"])
    assert (item.external_id, item.stage) == ("--help", Stage.GONE)


async def test_descriptions_are_not_remembered_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multica_reading, "MAX_KEPT", 2)
    side = MulticaSide(tmp_path)
    for number in range(4):
        issue = await side.add(f"Issue {number}")
        side.stand_in.change(issue, description=f"Of {number}.")
    items = await side.source.list_todo(side.roster.agents["ops"])
    assert sum(bool(item.description) for item in items) == 2


async def test_an_answer_that_is_no_issue_is_unavailable_and_an_id_that_is_none_is_never_asked_for(
    tmp_path: Path,
) -> None:
    side = MulticaSide(tmp_path)
    with pytest.raises(SourceRefusedError):
        await side.source.comment("--help", "Hello.")
    assert side.stand_in.calls() == []
    issue = await side.add("There")
    side.stand_in.garble("[]")
    with pytest.raises(SourceUnavailableError, match="no issue"):
        await side.source.look(issue)


async def test_an_issue_that_is_somebody_elses_now_is_refused(tmp_path: Path) -> None:
    side = MulticaSide(tmp_path)
    issue, ops = await side.add("Reassigned"), side.roster.agents["ops"]
    handle = await side.source.claim(issue, ops)
    side.stand_in.change(issue, assignee_id="somebody")
    for ask in (
        lambda: side.source.claim(issue, ops),
        lambda: side.source.release(issue, ops, handle, stage=Stage.BLOCKED, why="No progress."),
        lambda: side.source.finish(issue, ops, handle, summary="Done."),
    ):
        with pytest.raises(SourceRefusedError, match="not assigned to ops"):
            await ask()
    assert side.stand_in.issue(issue)["status"] == "in_progress"


async def test_a_status_of_a_workspaces_own_counts_as_its_category(tmp_path: Path) -> None:
    side = MulticaSide(tmp_path)
    issue = await side.add("Own status")
    side.stand_in.change(issue, status="waiting_for_legal", status_category="in_progress")
    assert (await side.source.look(issue)).stage is Stage.IN_PROGRESS


async def test_agents_that_multica_does_not_know_have_nothing_there(tmp_path: Path) -> None:
    side = MulticaSide(tmp_path)
    assert await side.source.list_todo(side.roster.agents["other"]) == ()
    side.roster = a_roster(ops={})
    assert await side.source.list_in_progress() == ()
    assert side.stand_in.calls() == []


def test_a_source_is_asked_for_as_long_as_somebody_on_the_team_may_be_served_there(
    tmp_path: Path,
) -> None:
    settings = load(Settings, {"SCHEDULER_STATE_DIR": str(tmp_path)}, None)
    roster = a_roster(ops={})
    gateway = Gateway(("openclaw",), {})
    assert set(configured(settings, lambda: roster, {}, gateway=None)) == {Source.MULTICA, Source.TODO}
    sources = configured(settings, lambda: roster, {}, gateway=gateway)
    assert list(sources) == [Source.WORKBOARD, Source.MULTICA, Source.TODO]
    assert [each.name for each in sources.values() if each.wanted] == [Source.WORKBOARD]
    roster = a_roster(ops={"multica_id": OPS_ID, "todo_files": ("x.md",)})
    assert all(each.wanted for each in sources.values())
    roster = a_roster()
    assert not any(each.wanted for each in sources.values())
