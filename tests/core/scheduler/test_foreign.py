"""Somebody else's work in a source: left alone while it lives, given back when it does not."""

from dataclasses import replace

from scheduler.core.exchange.foreign import (
    Finding,
    Lost,
    Suspicious,
    Watched,
    probably_us,
    sign_of_life,
    watch,
)
from scheduler.core.exchange.items import Item, Stage
from scheduler.core.exchange.mirror import Mirror
from scheduler.core.exchange.summary import MOST_CHARACTERS, summary
from scheduler.core.records import Attempt, Output
from tests.core.scheduler.boards import NOW, a_task, an_output, held
from tests.core.scheduler.items import an_item


def watched(item: Item, row: Mirror | None, now: float) -> Finding:
    return watch(item, row, suspect_after=1200, recover_after=1800, now=now)


def working(**fields: object) -> Item:
    return an_item(Stage.IN_PROGRESS, **({"updated_at": NOW} | fields))


def test_whoever_is_still_is_suspect_and_then_lost() -> None:
    first = watched(working(), None, NOW)
    assert isinstance(first, Watched)
    assert first.row.told_at == NOW
    assert watched(working(), first.row, NOW + 1199) == first
    suspect = watched(working(), first.row, NOW + 1200)
    assert isinstance(suspect, Suspicious)
    assert suspect.still == 1200
    assert watched(working(), suspect.row, NOW + 1799) == Watched(suspect.row)
    lost = watched(working(), suspect.row, NOW + 1800)
    assert lost == Lost(suspect.row, 1800)


def test_whoever_is_found_still_has_time_to_prove_it_wrong() -> None:
    days = 3 * 86400
    suspect = watched(working(), None, NOW + days)
    assert isinstance(suspect, Suspicious)
    assert suspect.still == days
    assert isinstance(watched(working(), suspect.row, NOW + days + 599), Watched)
    assert isinstance(watched(working(), suspect.row, NOW + days + 600), Lost)


def test_a_sign_of_life_begins_anew() -> None:
    suspect = watched(working(sign_of_life_at=NOW), None, NOW + 1200)
    same = watched(working(sign_of_life_at=NOW, updated_at=NOW + 5), suspect.row, NOW + 1201)
    assert same == Watched(suspect.row), "what somebody else wrote on it is none"
    fresh = watched(working(sign_of_life_at=NOW + 1300), suspect.row, NOW + 1301)
    assert isinstance(fresh, Watched)
    assert (fresh.row.told, fresh.row.told_at) == (None, NOW + 1300)
    assert sign_of_life(working(worked_on_by="ann")) != sign_of_life(working())


def test_a_clock_that_is_ahead_there_is_not_believed() -> None:
    assert watched(working(updated_at=NOW + 9999), None, NOW).row.told_at == NOW
    assert watched(working(updated_at=None, created_at=NOW - 5), None, NOW).row.told_at == NOW - 5
    assert watched(working(updated_at=None), None, NOW).row.told_at == NOW


def test_what_was_something_else_before_is_seen_for_the_first_time() -> None:
    row = watched(working(), None, NOW).row
    for other in (replace(row, stage=Stage.TODO, told=Stage.TODO), replace(row, told_at=None)):
        assert watched(working(), other, NOW + 60) == Watched(replace(row, seen_at=NOW + 60))


def test_many_that_look_lost_at_once_are_probably_our_mistake() -> None:
    row = watched(working(), None, NOW).row
    suspect = watched(working(), row, NOW + 1200)
    assert probably_us([suspect] * 4)
    assert probably_us([*[suspect] * 3, Lost(row, 1800), Watched(row)])
    assert not probably_us([suspect] * 3)
    assert not probably_us([*[suspect] * 4, *[Watched(row)] * 4])


def a_summary(*outputs: Output, attempt: Attempt | None = None, text: str = "") -> str:
    return summary(a_task(turns=2), attempt, outputs, text)


def test_a_summary_says_who_did_it_and_what_came_of_it() -> None:
    task, attempt = held()
    assert a_summary() == "Done by the scheduler in 2 turns (T-0001)."
    assert summary(task, attempt, (), " ") == "Done by coder (T-0001)."
    assert summary(task, replace(attempt, turns=1), (), "") == "Done by coder in 1 turn (T-0001)."
    report = an_output(task)
    said = a_summary(
        report, report, an_output(task, name="x.txt"), attempt=replace(attempt, turns=9), text="It is.\n"
    )
    assert said == "Done by coder in 9 turns (T-0001).\nHanded in: report.md, x.txt.\n\nIt is."
    long = a_summary(text="x" * (MOST_CHARACTERS + 1)).splitlines()[-1]
    assert (len(long), long[-1]) == (MOST_CHARACTERS, "…")


def test_what_we_may_have_said_ourselves_is_no_sign_of_life() -> None:
    suspect = watched(working(), watched(working(), None, NOW).row, NOW + 1200)
    asked = replace(suspect.row, fingerprint="")
    after = working(updated_at=NOW + 1201)
    assert watched(after, asked, NOW + 1300) == Watched(replace(asked, fingerprint=sign_of_life(after)))
    assert isinstance(watched(after, asked, NOW + 1800), Lost)
