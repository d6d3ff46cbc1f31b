"""From the outbox to the targets: with a real board, and targets that do as a test says."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import trio
from pydantic import SecretStr
from structlog.testing import capture_logs
from trio.testing import MockClock, wait_all_tasks_blocked

from scheduler.blackboard import outbox
from scheduler.blackboard.errors import BoardBroken, BoardBusy
from scheduler.blackboard.store import Store
from scheduler.core.records import Notice
from scheduler.notifications.letters import STEPS_ASIDE_AFTER, Letter
from scheduler.notifications.notifier import EVERY_SECONDS, LAST_SECONDS, Notifier
from scheduler.notifications.outcomes import Later, Never, Outcome, Told
from scheduler.notifications.retrying import LEAST_TRIES
from scheduler.roster import FeishuTarget, LogTarget, OpenClawTarget, QuietHours, Roster
from shared import clock
from tests.core.scheduler.test_letters import a_roster
from tests.edge.scheduler.office import InlineBoard
from tests.fresh_board import fresh_board
from tests.on_the_board import unsent

START = 1_800_000_000.0  # 2027-01-15 08:00 UTC
BOT = FeishuTarget(SecretStr("https://feishu.example/hook/1"), SecretStr("s"))
CHAT = OpenClawTarget("telegram", "-100123")


class FlakyBoard(InlineBoard):
    """Away, or unable to write, as long as somebody says so."""

    away: Exception | None = None
    read_only: Exception | None = None

    async def read(self, question: Any, *args: Any, **kwargs: Any) -> Any:
        if self.away:
            raise self.away
        return await super().read(question, *args, **kwargs)

    async def write(self, verb: Any, *args: Any, **kwargs: Any) -> Any:
        if error := self.away or self.read_only:
            raise error
        return await super().write(verb, *args, **kwargs)


@dataclass
class Recorder:
    """A target that takes what it is told, or does what comes next in `outcomes`."""

    outcomes: list[Outcome | Callable[[], Any]] = field(default_factory=list)
    letters: list[Letter] = field(default_factory=list)
    at: list[float] = field(default_factory=list)
    seconds: float = 0.0

    async def send(self, _target: object, letter: Letter) -> Outcome:
        await trio.sleep(self.seconds)
        self.letters.append(letter)
        self.at.append(trio.current_time())
        outcome = self.outcomes.pop(0) if self.outcomes else Told()
        return outcome if isinstance(outcome, Told | Later | Never) else outcome()

    @property
    def texts(self) -> list[str]:
        return [letter.text for letter in self.letters]


@dataclass
class Bench:
    store: Store
    board: FlakyBoard
    notifier: Notifier
    chat: Recorder
    bot: Recorder
    roster: Roster

    def tell(self, *texts: str, to: str = "coo", urgent: bool = False, **more: Any) -> None:
        now = clock.wall()
        self.store.tell([Notice(to, f"{to}:{text}", text, now, urgent, **more) for text in texts])

    @property
    def waiting(self) -> int:
        return self.store.notices_count()

    def row(self, text: str) -> tuple[Any, ...]:
        """Done or not, tries, error."""

        def looked(connection: Any) -> Any:
            statement = "SELECT done_at IS NOT NULL, tries, error FROM outbox WHERE text = ?"
            return connection.exec_driver_sql(statement, (text,)).one()

        return tuple(self.store.transactions.read(looked))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.notifier.run)
            yield
            nursery.cancel_scope.cancel()


@pytest.fixture
def bench(tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> Any:
    url = fresh_board(tmp_path / "board.db")
    monkeypatch.setattr(clock, "wall", lambda: START + autojump_clock.current_time())
    store = Store.open(url, artifacts=tmp_path / "artifacts")
    board, chat, bot = FlakyBoard(store), Recorder(), Recorder()
    made: Bench
    roster = a_roster(coo=CHAT, critical=BOT, warning=LogTarget())
    notifier = Notifier(board, lambda: made.roster, openclaw=chat, feishu=bot)
    made = Bench(store, board, notifier, chat, bot, roster)
    yield made
    store.close()


async def test_each_is_told_at_the_target_of_its_name_and_crossed_off(
    bench: Bench, autojump_clock: MockClock
) -> None:
    bench.tell("one", "two")
    bench.tell("three", to="critical", urgent=True)
    with capture_logs() as lines:
        bench.tell("four", to="warning")
        bench.tell("five", to="creator:nobody", urgent=True)
        async with bench.running():
            await trio.sleep(1)
    assert bench.chat.texts == ["one", "two"]
    assert bench.bot.texts == ["three"]
    assert [(line["event"], line["log_level"], line["to"], line["text"]) for line in lines] == [
        ("notification", "error", "creator:nobody", "five"),
        ("notification", "warning", "warning", "four"),
    ]
    assert bench.waiting == 0


async def test_news_is_told_at_once_when_somebody_says_that_there_is_some(
    bench: Bench, autojump_clock: MockClock
) -> None:
    async with bench.running():
        await trio.sleep(1)
        bench.tell("now")
        bench.notifier.wake()
        await wait_all_tasks_blocked()
        assert bench.chat.at == [1]
        bench.tell("later")
        await trio.sleep(EVERY_SECONDS + 1)
        assert bench.chat.texts == ["now", "later"]


async def test_what_did_not_work_is_tried_again_ever_more_rarely_and_in_order(
    bench: Bench, autojump_clock: MockClock
) -> None:
    bench.chat.outcomes = [Later("gateway down")] * 3
    bench.tell("one", "two")
    with capture_logs() as lines:
        async with bench.running():
            await trio.sleep(300)
    assert bench.chat.texts == ["one", "one", "one", "one", "two"]
    first, second, third, fourth, _ = bench.chat.at
    assert second - first >= 10
    assert third - second >= 30
    assert fourth - third >= 60
    assert [line["event"] for line in lines] == ["notification_delayed"], "said once"
    assert bench.row("one") == (1, 4, "")


async def test_a_restart_neither_forgets_nor_begins_to_count_anew(
    bench: Bench, autojump_clock: MockClock
) -> None:
    bench.chat.outcomes = [Later("x")] * 2
    bench.tell("one")
    async with bench.running():
        await trio.sleep(15)
    assert bench.row("one") == (0, 2, "x")
    async with bench.running():
        await trio.sleep(20)
        assert len(bench.chat.letters) == 2
        await trio.sleep(20)
    assert bench.row("one")[0] == 1


async def test_what_will_never_be_taken_is_said_in_the_log_with_the_reason(
    bench: Bench, autojump_clock: MockClock
) -> None:
    bench.chat.outcomes = [Never("Unknown channel")]
    bench.tell("one", "two")
    with capture_logs() as lines:
        async with bench.running():
            await trio.sleep(60)
    assert bench.chat.texts == ["one", "two"]
    assert lines == [
        {
            "event": "notification_undeliverable",
            "log_level": "error",
            "to": "coo",
            "text": "one",
            "error": "Unknown channel",
        }
    ]
    assert bench.row("one") == (1, 1, "Unknown channel")
    assert bench.waiting == 0


async def test_after_a_day_of_trying_it_goes_to_the_log(bench: Bench, autojump_clock: MockClock) -> None:
    bench.chat.outcomes = [Later("still away")] * 2
    bench.store.tell([Notice("coo", "old", "one", START - 24 * 3600)])
    (waiting,) = unsent(bench.store)
    for _ in range(LEAST_TRIES - 2):
        outbox.put_off(bench.store, [waiting.number], until=START, error="away")
    with capture_logs() as lines:
        async with bench.running():
            await trio.sleep(1)
            assert bench.waiting == 1, "there is one more try"
            await trio.sleep(1000)
    assert [line["event"] for line in lines] == ["notification_undeliverable"]
    assert bench.row("one") == (1, LEAST_TRIES, "still away")


async def test_a_slow_target_delays_no_other(bench: Bench, autojump_clock: MockClock) -> None:
    bench.chat.seconds = 1000
    bench.tell("slow")
    bench.tell("quick", to="critical")
    async with bench.running():
        await trio.sleep(1)
        assert bench.bot.texts == ["quick"]
        bench.tell("another", to="critical")
        await trio.sleep(EVERY_SECONDS + 1)
        assert bench.bot.texts == ["quick", "another"]
        assert bench.chat.texts == []


async def test_thousands_that_wait_for_one_target_delay_no_other(
    bench: Bench, autojump_clock: MockClock
) -> None:
    bench.chat.outcomes = [Later("away")] * 1000
    bench.tell(*(f"{number}" for number in range(1000)))
    bench.tell("quick", to="critical")
    async with bench.running():
        await trio.sleep(1)
        assert bench.bot.texts == ["quick"]
        assert bench.chat.texts == ["0"]


async def test_one_message_that_a_target_does_not_take_does_not_hold_up_the_others_for_a_day(
    bench: Bench, autojump_clock: MockClock
) -> None:
    bench.chat.outcomes = [Later("too odd")] * STEPS_ASIDE_AFTER
    bench.tell("odd", "two", "three")
    async with bench.running():
        await trio.sleep(150)
    assert bench.chat.texts == [*["odd"] * STEPS_ASIDE_AFTER, "two", "three"]
    assert bench.waiting == 1


async def test_quiet_hours_hold_news_back_until_they_end(bench: Bench, autojump_clock: MockClock) -> None:
    bench.roster = replace(bench.roster, quiet_hours=QuietHours(7 * 60, 9 * 60))
    with capture_logs() as lines:
        bench.tell("one", "two")
        bench.tell("urgent", urgent=True)
        bench.tell("for the log", to="warning")
        async with bench.running():
            await trio.sleep(3500)
            assert bench.chat.texts == ["urgent"]
            assert [line["text"] for line in lines] == ["for the log"], "the log wakes nobody"
            await trio.sleep(200)
    assert bench.chat.texts[1:] == ["2 messages from the quiet hours:\n\none\n\ntwo"]
    assert bench.waiting == 0


async def test_a_roster_that_changes_holds_from_then_on(bench: Bench, autojump_clock: MockClock) -> None:
    bench.chat.outcomes = [Later("away")]
    bench.tell("one")
    async with bench.running():
        await trio.sleep(1)
        bench.roster = a_roster(coo=BOT)
        await trio.sleep(15)
    assert bench.bot.texts == ["one"]


async def test_what_is_wrong_with_a_target_is_shown_until_it_takes_a_letter(
    bench: Bench, autojump_clock: MockClock
) -> None:
    bench.chat.outcomes = [Later("gateway down")]
    bench.tell("one")
    async with bench.running():
        await trio.sleep(1)
        assert bench.notifier.failing == {"coo": "gateway down"}
        assert repr(bench.notifier) == "<Notifier, 0 lanes at work, 1 failing>"
        await trio.sleep(15)
        assert bench.notifier.failing == {}


async def test_a_board_that_is_away_is_asked_again(bench: Bench, autojump_clock: MockClock) -> None:
    bench.tell("one")
    bench.board.away = BoardBusy("busy")
    with capture_logs() as lines:
        async with bench.running():
            await trio.sleep(1)
            bench.board.away = None
            await trio.sleep(EVERY_SECONDS + 1)
    assert bench.chat.texts == ["one"]
    assert lines[0]["event"] == "outbox_unavailable"


async def test_what_was_told_is_not_told_again_because_the_board_does_not_take_it(
    bench: Bench, autojump_clock: MockClock
) -> None:
    bench.tell("one", "two")
    bench.board.read_only = BoardBusy("the disk is full")
    async with bench.running():
        await trio.sleep(60)
        assert bench.chat.texts == ["one"]
        bench.board.read_only = None
        await trio.sleep(EVERY_SECONDS + 1)
    assert bench.chat.texts == ["one", "two"]
    assert bench.waiting == 0


async def test_a_broken_board_ends_the_part(bench: Bench, autojump_clock: MockClock) -> None:
    bench.board.away = BoardBroken("EIO")
    with pytest.RaisesGroup(BoardBroken):
        await bench.notifier.run()


async def test_a_board_that_breaks_in_a_lane_ends_the_part(bench: Bench, autojump_clock: MockClock) -> None:
    bench.tell("one")
    bench.board.read_only = BoardBroken("EIO")
    with pytest.RaisesGroup(BoardBroken):
        await bench.notifier.run()


async def test_what_is_told_when_we_are_ended_is_crossed_off(bench: Bench, autojump_clock: MockClock) -> None:
    """Cancelled between the answer and the crossing off."""
    bench.tell("one")
    async with trio.open_nursery() as nursery:

        def told() -> Outcome:
            nursery.cancel_scope.cancel()
            return Told()

        bench.chat.outcomes = [told]
        nursery.start_soon(bench.notifier.run)
    assert bench.waiting == 0


async def test_the_last_delivery_ends_in_time_and_leaves_openclaw_alone(
    bench: Bench, autojump_clock: MockClock
) -> None:
    bench.bot.seconds = 1000
    bench.tell("chat")
    bench.tell("bot", to="critical")
    with capture_logs() as lines:
        bench.tell("log", to="warning")
        await bench.notifier.deliver()
    assert trio.current_time() == LAST_SECONDS
    assert [line["text"] for line in lines] == ["log"]
    assert bench.chat.texts == bench.bot.texts == []
    assert bench.waiting == 2


async def test_the_last_delivery_tells_a_bot_that_answers(bench: Bench, autojump_clock: MockClock) -> None:
    bench.tell("bot", to="critical")
    await bench.notifier.deliver()
    assert bench.bot.texts == ["bot"]
    assert bench.waiting == 0


def test_causes_are_read_back_in_order(bench: Bench) -> None:
    bench.store.tell([Notice("critical", cause, "x", 1.0) for cause in ("watch:b", "other", "watch:a")])
    assert [cause for cause, _ in outbox.causes(bench.store, "watch:")] == ["watch:b", "watch:a"]
