"""What is done about one item: brought, joined, followed, revised, or left alone."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from scheduler.core.exchange.following import Follow
from scheduler.core.exchange.intake import (
    Attach,
    Bring,
    Heed,
    Known,
    Later,
    Missing,
    Revise,
    Skip,
    again,
    decide,
    digest,
    in_order,
    made_of,
    prints_of,
    too_many,
    twin,
)
from scheduler.core.exchange.items import Item, Stage
from scheduler.core.exchange.mirror import Claim, begun
from scheduler.core.exchange.sameness import described, differing, fingerprint
from scheduler.core.states import Status
from scheduler.core.task import Priority, Source
from tests.core.scheduler.boards import NOW, a_task
from tests.core.scheduler.items import a_row, an_item, its_task

AGENTS = {"coder", "critic"}
UNKNOWN = Known()


def decided(item: Item, known: Known = UNKNOWN, **more: object) -> object:
    given: dict[str, object] = {"on_board": {}, "agents": AGENTS, "asked_at": NOW - 1, "now": NOW} | more
    return decide(item, known, **given)  # type: ignore[arg-type]  # what `decide` takes


def test_what_is_to_be_taken_up_becomes_a_task() -> None:
    item = an_item(priority=Priority.HIGH, creator="ann", waits_for=("c-0", "c-0"), description="Now.")
    found = decided(item, on_board={"c-0": "T-0009"}, max_attempts=5)
    assert isinstance(found, Bring)
    draft = found.draft
    assert (draft.title, draft.priority, draft.creator, draft.assignee) == (
        "Write the report",
        Priority.HIGH,
        "ann",
        "coder",
    )
    assert (draft.source, draft.external_id, draft.depends_on, draft.max_attempts) == (
        Source.WORKBOARD,
        "c-1",
        ("T-0009",),
        5,
    )
    assert draft.description == described(item)


def test_nothing_else_does() -> None:
    for stage in set(Stage) - {Stage.TODO}:
        assert decided(an_item(stage)) is None
    assert decided(an_item(agent=None)) is None
    assert decided(an_item(agent="stranger")) is None
    assert decided(an_item(waits_for=("c-0", "c-9")), on_board={"c-0": "T-0009"}) == Skip(
        "waits for c-9, which is not on the board"
    )


def test_what_is_on_the_board_already_is_joined() -> None:
    assert decided(an_item(), Known(task=its_task())) == Attach("T-0001")
    assert decided(an_item(Stage.DONE), Known(task=its_task())) is None


def test_whose_row_has_learnt_something_since_knows_better() -> None:
    item, task = an_item(Stage.DONE), its_task()
    assert decided(item, Known(a_row(seen_at=NOW - 1), task)) == Later()
    assert decided(item, Known(begun(a_row(), Claim("coder"), NOW), task)) == Later()
    assert decided(item, Known(a_row(seen_at=NOW + 1), task)) == Heed(Follow.WITHDRAW, Stage.DONE)


def test_what_is_not_known_is_not_brought_and_erases_nothing() -> None:
    for part in ("description", "waits_for"):
        assert decided(an_item(Stage.TODO, **{part: None})) == Later()
        assert decided(an_item(Stage.DONE, **{part: None})) is None
    bare = an_item(description=None, waits_for=None)
    task = its_task(depends_on=("T-0009",))
    whole = a_row(fingerprint=fingerprint(an_item(description="Now.", waits_for=("c-0",))))
    assert decided(bare, Known(whole, task)) is None
    found = decided(replace(bare, title="Else"), Known(whole, task))
    assert isinstance(found, Revise)
    assert found.fields == {"title": "Else"}
    assert differing(found.fingerprint, whole.fingerprint) == {"title"}


def test_what_has_to_be_known_whole_is_waited_for() -> None:
    bare = an_item(waits_for=None)
    waiting = Known(a_row(Stage.WAITING), its_task(status=Status.BLOCKED))
    assert decided(bare, waiting) == Later(), "it may still wait for something"
    assert decided(replace(bare, stage=Stage.BLOCKED), waiting) != Later()
    assert decided(bare, Known(a_row(Stage.DONE), its_task(status=Status.DONE))) == Later()


def test_a_line_under_way_that_is_gone_may_come_back() -> None:
    gone = an_item(Stage.GONE, source=Source.TODO)
    row, task = a_row(Stage.IN_PROGRESS), its_task(status=Status.WORKING)
    assert decided(gone, Known(row, task)) == Missing()
    for since, found in ((599, Missing()), (600, Heed(Follow.WITHDRAW, Stage.GONE))):
        assert decided(gone, Known(replace(row, missing_since=NOW - since), task)) == found
    now = Heed(Follow.WITHDRAW, Stage.GONE)
    assert decided(gone, Known(a_row(), its_task())) == now, "nothing is lost with it"
    assert decided(replace(gone, source=Source.MULTICA), Known(row, task)) == now


def test_what_its_agent_closed_there_and_left_without_a_result_ends() -> None:
    item = an_item(Stage.DONE)
    task = its_task(status=Status.WORKING, claimant="coder")
    assert decided(item, Known(a_row(Stage.IN_PROGRESS), task)) == Heed(Follow.AGREE, Stage.DONE)
    row = a_row(Stage.DONE, told=Stage.IN_PROGRESS)
    assert decided(item, Known(row, task)) is None
    assert decided(item, Known(row, its_task())) == Heed(Follow.WITHDRAW, Stage.DONE)
    again = a_row(Stage.DONE, told=Stage.BLOCKED)
    assert decided(item, Known(again, its_task())) is None, "somebody here tries it again"


def test_a_change_there_is_heeded() -> None:
    known = Known(a_row(), its_task())
    assert decided(an_item(Stage.BLOCKED), known) == Heed(Follow.HOLD, Stage.BLOCKED)
    assert decided(an_item(Stage.GONE), replace(known, alone=False)) == Heed(Follow.AGREE, Stage.GONE)
    assert decided(an_item(), known) is None


def test_what_waits_for_what_is_not_here_is_set_aside() -> None:
    known = Known(a_row(), its_task())
    assert decided(an_item(waits_for=("c-9",)), known) == Heed(Follow.HOLD, Stage.WAITING)


def test_what_is_somebody_elses_now_is_gone_but_an_agent_that_left_the_team_keeps_it() -> None:
    known = Known(a_row(), its_task())
    assert decided(an_item(agent=None), known) == Heed(Follow.WITHDRAW, Stage.GONE)
    assert decided(an_item(Stage.DONE, agent=None), known) == Heed(Follow.WITHDRAW, Stage.DONE)
    assert decided(an_item(agent=None), known, agents={"critic"}) is None


def test_what_it_says_now_is_taken_over_part_by_part() -> None:
    task = its_task(depends_on=("T-0002", "T-0003"))
    item = an_item(title="Else", waits_for=("c-0",), priority=Priority.LOW, agent="critic", description="x")
    known = Known(a_row(), task, theirs=frozenset({"T-0003"}))
    found = decided(item, known, on_board={"c-0": "T-0004"})
    assert isinstance(found, Revise)
    assert found.fields == {
        "title": "Else",
        "description": described(item),
        "priority": Priority.LOW,
        "assignee": "critic",
        "depends_on": ("T-0002", "T-0004"),
    }
    assert found.fingerprint == fingerprint(item)
    assert (
        decided(item, Known(a_row(fingerprint=found.fingerprint), task), on_board={"c-0": "T-0004"}) is None
    )


def test_under_a_claim_only_the_words_are_taken_over() -> None:
    item = an_item(Stage.IN_PROGRESS, title="Else", agent="critic")
    row = a_row(Stage.IN_PROGRESS)
    found = decided(item, Known(row, its_task(status=Status.WORKING)))
    assert isinstance(found, Revise)
    assert found.fields == {"title": "Else"}
    assert differing(found.fingerprint, fingerprint(item)) == {"assignee"}
    rest = replace(row, fingerprint=found.fingerprint)
    assert decided(item, Known(rest, its_task(status=Status.WORKING))) is None
    nobody = an_item(Stage.IN_PROGRESS, agent=None)
    assert decided(nobody, Known(row, its_task(assignee="stranger"))) is None


def test_what_is_over_or_somebody_elses_card_is_not_rewritten() -> None:
    other = an_item(title="Else")
    for task in (
        its_task(status=Status.FAILED),
        its_task(source=Source.MULTICA),
        its_task(external_id="c-2"),
    ):
        assert decided(other, Known(a_row(), task)) is None
    assert decided(an_item(Stage.DONE, title="Else"), Known(a_row(Stage.DONE), its_task())) is None


def test_what_was_missing_and_is_there_again_is_noted() -> None:
    row = a_row(missing_since=NOW - 60)
    assert decided(an_item(), Known(row, its_task())) == Revise({}, row.fingerprint)
    failed = its_task(status=Status.FAILED)
    assert decided(an_item(), Known(row, failed)) == Revise({}, row.fingerprint)


def test_a_task_is_made_of_the_item_whose_name_it_has() -> None:
    assert [again("42", times) for times in (1, 2, 3)] == ["42", "42#2", "42#3"]
    assert made_of(its_task(external_id="c-1#2"), an_item())
    assert not made_of(its_task(external_id="c-11"), an_item())
    assert not made_of(a_task(), an_item())


def test_items_come_by_priority_then_by_source_then_by_age() -> None:
    items = [
        an_item(external_id="5", source=Source.TODO),
        an_item(external_id="4", source=Source.MULTICA),
        an_item(external_id="3", created_at=9.0),
        an_item(external_id="2", created_at=8.0),
        an_item(external_id="1", source=Source.TODO, priority=Priority.URGENT),
    ]
    assert [each.external_id for each in in_order(items)] == ["1", "2", "3", "4", "5"]


def test_many_at_once_are_probably_our_mistake() -> None:
    assert too_many(4, 7)
    assert not too_many(4, 8)
    assert not too_many(3, 3)


def digested(items: Sequence[Item], *more: Any) -> str:
    return digest(items, prints_of(items), *more)


def test_a_digest_is_of_what_there_is_to_do() -> None:
    one, two = an_item(), an_item(external_id="c-2")
    first = digested([one, two], {}, [])
    assert digested([two, one], {}, []) == first
    for other in (
        digested([one], {}, []),
        digested([one, replace(two, stage=Stage.DONE)], {}, []),
        digested([one, replace(two, title="\ud83d")], {}, []),
        digested([one, two], {(Source.WORKBOARD, "c-1"): "T-0001 pending"}, []),
        digested([one, two], {}, [Source.TODO]),
    ):
        assert other != first
    assert digested([replace(one, updated_at=NOW)], {}, []) == digested([one], {}, []), (
        "nothing to do with it"
    )


def test_the_oldest_of_those_that_are_the_same_is_the_one() -> None:
    older, newer = a_task(number=1), a_task(number=2)
    assert twin(an_item(), [(newer, {"c-1"}), (older, {"c-1"}), (a_task(number=0), {"c-9"})]) == older
    assert twin(an_item(), []) is None
