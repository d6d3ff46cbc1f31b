"""The board and a task source, changed by everybody at any time, with processes that end anywhere.

However it went: once nobody changes anything any more, a few rounds later nothing is told any more either.
"""

import shutil
import tempfile
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import trio
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from scheduler.blackboard import mirrored
from scheduler.core import endings, halting, holding
from scheduler.core.errors import Refused
from scheduler.core.exchange.items import Stage
from scheduler.core.exchange.mirror import OVER
from scheduler.core.states import CLOSED, HELD, Status
from scheduler.core.task import Source, Task, number_of
from shared import clock
from tests.mirror_desk import a_desk
from tests.pretended_source import Killed, PretendedSource

pytestmark = pytest.mark.integration

ROUNDS = 12
"""After which everything is settled: the longest pause of a source that was away lies between two."""
items = st.sampled_from(
    [(Source.WORKBOARD, "c1"), (Source.WORKBOARD, "c1"), (Source.WORKBOARD, "c2"), (Source.MULTICA, "i1")]
)
numbers = st.sampled_from([1, 1, 1, 2])
stages = st.sampled_from([Stage.TODO, Stage.WAITING, Stage.IN_PROGRESS, Stage.BLOCKED, Stage.DONE])


class BoardAndSources(RuleBasedStateMachine):
    """Everything that people, agents and accidents do to both."""

    def __init__(self) -> None:
        super().__init__()
        self.closing = ExitStack()

    @initialize()
    def open(self) -> None:
        directory = Path(tempfile.mkdtemp(prefix="clawpace-mirrors-"))
        self.closing.callback(shutil.rmtree, directory)
        self.desk = a_desk(directory, clock.wall())
        self.closing.callback(self.desk.store.close)
        self.closing.enter_context(patch.object(clock, "wall", self.desk.now))
        for source in self.desk.sources.values():
            source.before = partial(self.said, source)
        self.desk.cards.put("c1", "Roof")
        self.desk.issues.put("i1", "Walls")
        self.run("look")

    def said(self, source: PretendedSource, verb: str, external_id: str) -> None:
        """Nobody is told that something is done which is not, and nothing that is over is opened again."""
        if verb == "finish":
            task = mirrored.one(self.desk.store, source.name, external_id).task
            assert task is not None
            assert task.status is Status.DONE
        elif verb in {"claim", "release"}:
            assert source.stage(external_id) not in OVER

    def teardown(self) -> None:
        with self.closing:
            if hasattr(self, "desk"):
                self.everything_settles()

    # -- what runs ---------------------------------------------------------------------------------

    def run(self, *parts: str) -> None:
        for part in parts:
            trio.run(getattr(self.desk, part))

    @rule()
    def look(self) -> None:
        self.run("look")

    @rule()
    def survey(self) -> None:
        self.run("survey")

    @rule()
    def tell(self) -> None:
        self.run("settle")

    @rule(seconds=st.sampled_from([5.0, 61.0, 601.0, 1801.0]))
    def wait(self, seconds: float) -> None:
        self.desk.later(seconds)

    @rule(part=st.sampled_from(["look", "survey", "settle", "settle", "settle"]), begun=st.booleans())
    def kill(self, part: str, begun: bool) -> None:
        """At the first thing that it says: just before, or when it has been said."""

        def killed(*_: str) -> None:
            raise Killed

        before = {source: source.before for source in self.desk.sources.values()}
        for source in before:
            if begun:
                source.at = killed
            else:
                source.before = killed
        with suppress(Killed, BaseExceptionGroup):
            self.run(part)
        for source, check in before.items():
            source.at, source.before = (lambda _verb: None), check
        self.desk.restart()

    # -- what people and agents do -----------------------------------------------------------------

    def change(self, number: int, verb: Any, **more: Any) -> None:
        with suppress(Refused):
            self.desk.change(verb, number, **more)

    @rule(number=numbers, by_run=st.booleans())
    def take(self, number: int, by_run: bool) -> None:
        self.claim(number, by_run=by_run)

    def claim(self, number: int, *, by_run: bool) -> None:
        with suppress(Refused):
            self.desk.claim(number, None if by_run else 1800.0)

    @rule(number=numbers)
    def work(self, number: int) -> None:
        self.change(number, holding.heartbeat, turn=3, who="ops")

    @rule(number=numbers, accepted=st.booleans())
    def finish(self, number: int, accepted: bool) -> None:
        self.claim(number, by_run=False)
        with suppress(Refused):
            self.desk.finish(number) if accepted else self.desk.hand_in(number=number)

    @rule(number=numbers)
    def release(self, number: int) -> None:
        self.change(number, holding.release, reason="", who="ops")

    @rule(number=numbers)
    def expire(self, number: int) -> None:
        self.change(number, lambda task, attempt, now: endings.expire(task, attempt, now=now))

    @rule(number=numbers, verb=st.sampled_from([halting.block, halting.fail]))
    def stop(self, number: int, verb: Any) -> None:
        self.change(number, verb, reason="a reason", who="me")

    @rule(number=numbers)
    def go_on(self, number: int) -> None:
        for verb in (halting.unblock, halting.retry):
            self.change(number, lambda task, _, now, verb=verb: verb(task, who="me", now=now))

    # -- what people do there ----------------------------------------------------------------------

    @rule(item=items, stage=stages, noticed=st.booleans())
    def move(self, item: tuple[Source, str], stage: Stage, noticed: bool) -> None:
        source = self.desk.sources[item[0]]
        if item[1] in source.items:
            source.move(item[1], stage)
        if noticed:
            self.run("look", "survey")

    @rule(item=items, title=st.sampled_from(["Roof", "Walls", "Red"]))
    def write(self, item: tuple[Source, str], title: str) -> None:
        source = self.desk.sources[item[0]]
        if item[1] in source.items:
            source.items[item[1]] = replace(source.items[item[1]], title=title)
        else:
            source.put(item[1], title)

    @rule(item=items)
    def delete(self, item: tuple[Source, str]) -> None:
        self.desk.sources[item[0]].items.pop(item[1], None)

    @rule(source=st.sampled_from([Source.WORKBOARD, Source.MULTICA]), down=st.booleans())
    def away(self, source: Source, down: bool) -> None:
        self.desk.sources[source].down = "away" if down else ""

    @rule(item=items, stage=stages, telling_first=st.booleans())
    def a_change_there_wins(self, item: tuple[Source, str], stage: Stage, telling_first: bool) -> None:
        """Whatever was yet to be told."""
        self.at_rest()
        source = self.desk.sources[item[0]]
        known = mirrored.one(self.desk.store, *item)
        if item[1] not in source.items or known.row is None or known.task is None:
            return
        if known.row.stage is stage:
            return
        news = known.task.status is Status.DONE and Stage.DONE not in {known.row.told, known.row.stage}
        is_back = known.task.status is Status.FAILED and known.row.stage is Stage.GONE
        source.move(item[1], stage)
        if telling_first:
            self.desk.later(901)
            self.run("settle")
        self.everything_settles()
        if news and stage not in OVER:
            assert source.stage(item[1]) is Stage.DONE
        elif stage is Stage.TODO and known.task.status in HELD | {Status.REVIEW}:
            assert source.stage(item[1]) is Stage.IN_PROGRESS
        elif stage is Stage.IN_PROGRESS and is_back:
            assert source.stage(item[1]) is Stage.TODO
        else:
            assert source.stage(item[1]) is stage

    def at_rest(self) -> None:
        """Everybody answers, and no call is under way."""
        for source in self.desk.sources.values():
            source.down = ""
        self.desk.later(61)

    # -- what holds --------------------------------------------------------------------------------

    @invariant()
    def nothing_has_two_tasks(self) -> None:
        if hasattr(self, "desk"):
            undone = [task for task in self.desk.tasks() if task.status is not Status.DONE]
            counted = Counter((task.source, (task.external_id or "").partition("#")[0]) for task in undone)
            assert max(counted.values(), default=0) <= 1, counted

    def everything_settles(self) -> None:
        self.at_rest()
        last: object = None
        for _ in range(ROUNDS):
            self.desk.later(901)
            self.run("look", "survey", "settle")
            now_is = self.picture()
            if now_is == last:
                break
            last = now_is
        else:
            raise AssertionError("it does not come to rest")
        for task in self.desk.tasks():
            self.both_say_the_same(task)

    def picture(self) -> object:
        """All that was said, but for signs of life."""
        said = [[told for told in source.told if told[0] != "keep"] for source in self.desk.sources.values()]
        return said, self.desk.tasks(), [dict(source.items) for source in self.desk.sources.values()]

    def both_say_the_same(self, task: Task) -> None:
        for source in self.desk.sources.values():
            for external_id, item in source.items.items():
                known = mirrored.one(self.desk.store, source.name, external_id)
                if known.row is None or known.task is None or number_of(known.task.id) != task.number:
                    continue
                assert known.row.telling == ()
                if task.status in CLOSED:
                    assert item.stage is not Stage.TODO, "it would be tried again, or be another task"
                    continue
                assert known.row.stage is item.stage
                if item.stage in OVER:
                    continue  # whoever tries it again here has to say so there
                match task.status:
                    case Status.CLAIMED | Status.WORKING:
                        assert item.stage is Stage.IN_PROGRESS
                    case Status.PENDING:
                        assert item.stage in {Stage.TODO, source.after_recovery}
                    case Status.BLOCKED:
                        assert item.stage is not Stage.TODO


def test_board_and_sources_come_to_rest_whoever_changes_what_and_whoever_dies() -> None:
    run_state_machine_as_test(
        BoardAndSources,
        settings=settings(stateful_step_count=30, suppress_health_check=list(HealthCheck)),
    )
