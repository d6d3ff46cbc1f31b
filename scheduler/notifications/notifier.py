"""The outbox's other end: each target is told what waits for it, in its own lane.

What went wrong stands in the outbox, so a restart neither forgets a message nor begins to count anew.
"""

from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

import structlog
import trio

from scheduler.blackboard import outbox
from scheduler.blackboard.board import Board
from scheduler.blackboard.errors import BoardBroken, BoardError
from scheduler.blackboard.store import Store
from scheduler.notifications import feishu_wire, openclaw
from scheduler.notifications.letters import Letter, next_letter
from scheduler.notifications.outcomes import Later, Never, Outcome, Told
from scheduler.notifications.quiet import held_until
from scheduler.notifications.retrying import hopeless, pause_seconds
from scheduler.notifications.routing import lanes
from scheduler.roster import FeishuTarget, LogTarget, OpenClawTarget, Roster, Target
from shared import clock

EVERY_SECONDS: Final = 5.0
LAST_SECONDS: Final = 3.0
"""For what waits when the process ends. The rest waits for the next one."""
AT_ONCE: Final = 200
"""Messages of one lane that are looked at together."""
LOG_BYTES: Final = 8_000

_log = structlog.get_logger()


class OpenClawSends(Protocol):
    """Of `OpenClawSender`."""

    async def send(self, target: OpenClawTarget, letter: Letter) -> Outcome:
        """What became of it."""
        ...


class FeishuSends(Protocol):
    """Of `FeishuSender`."""

    async def send(self, target: FeishuTarget, letter: Letter) -> Outcome:
        """What became of it."""
        ...


class Notifier:
    """Owner of the lanes: of who is being told something now, and of what is wrong with whom."""

    def __init__(
        self,
        board: Board,
        roster: Callable[[], Roster],
        *,
        openclaw: OpenClawSends,
        feishu: FeishuSends,
        board_url: str = "",
    ) -> None:
        """`board_url`: where people reach the board, for links; empty: none."""
        self._board, self._roster, self._board_url = board, roster, board_url
        self._openclaw, self._feishu = openclaw, feishu
        self._woken = trio.Event()
        # Changed by a target's lane alone, which is in the set while it lives.
        self._busy: set[Target] = set()
        self._failing: dict[Target, str] = {}
        # What has become of a letter, while the board does not take it: nobody is told twice for that.
        self._owed: dict[Target, Callable[[Store], None]] = {}

    @property
    def failing(self) -> dict[str, str]:
        """Name in the roster -> what is wrong, of the targets that did not take the last letter."""
        named = self._roster().notify.items()
        return {name: self._failing[target] for name, target in named if target in self._failing}

    def wake(self) -> None:
        """There is news in the outbox."""
        self._woken.set()

    async def run(self) -> None:
        """Until cancelled. A board that is away for a while is asked again: what waits there is not lost."""
        async with trio.open_nursery() as nursery:
            while True:
                await self._look(nursery)
                with trio.move_on_after(EVERY_SECONDS):
                    await self._woken.wait()
                self._woken = trio.Event()

    async def deliver(self) -> None:
        """What may go now, within LAST_SECONDS. Not through OpenClaw: its command takes longer, and one that
        is ended half-way may have told the message, which would then be told again.
        """
        with trio.move_on_after(LAST_SECONDS):
            async with trio.open_nursery() as nursery:
                await self._look(nursery, last=True)

    async def _look(self, nursery: trio.Nursery, *, last: bool = False) -> None:
        try:
            names = await self._board.read(outbox.addressees)
        except BoardBroken:
            raise
        except BoardError as error:
            _log.warning("outbox_unavailable", error=str(error))
            return
        for target, its_names in lanes(self._roster(), names).items():
            if target not in self._busy and not (last and isinstance(target, OpenClawTarget)):
                self._busy.add(target)
                nursery.start_soon(self._lane, target, its_names)

    async def _lane(self, target: Target, names: frozenset[str]) -> None:
        """One letter after the other, until none may go."""
        try:
            await self._settle(target)
            while (letter := await self._next(target, names)) is not None:
                outcome = await self._send(target, letter)
                self._owed[target] = self._consequence(target, letter, outcome)
                await self._settle(target)
        except BoardBroken:
            raise
        except BoardError as error:
            _log.warning("outbox_unavailable", error=str(error))
        finally:
            self._busy.discard(target)

    async def _next(self, target: Target, names: frozenset[str]) -> Letter | None:
        waiting = await self._board.read(outbox.unsent, names, AT_ONCE)
        roster = self._roster()
        # The log wakes nobody.
        at_once = isinstance(target, LogTarget)
        return next_letter(
            waiting,
            clock.wall(),
            held_until=(lambda at: at) if at_once else partial(held_until, roster),
            most_bytes=_most_bytes(target),
            board_url="" if at_once else self._board_url,
        )

    async def _send(self, target: Target, letter: Letter) -> Outcome:
        match target:
            case LogTarget():
                log = _log.error if letter.urgent else _log.warning
                log("notification", to=", ".join(letter.to), text=letter.text)
                return Told()
            case OpenClawTarget():
                return await self._openclaw.send(target, letter)
            case FeishuTarget():
                return await self._feishu.send(target, letter)

    def _consequence(self, target: Target, letter: Letter, outcome: Outcome) -> Callable[[Store], None]:
        """What the board is to be told of it."""
        now = clock.wall()
        if isinstance(outcome, Told):
            self._failing.pop(target, None)
            return partial(outbox.cross_off, numbers=letter.numbers, now=now)
        self._failing[target] = outcome.error
        first = letter.of[0]
        said = {"to": ", ".join(letter.to), "text": letter.text, "error": outcome.error}
        if isinstance(outcome, Never) or hopeless(first, now):
            _log.error("notification_undeliverable", **said)
            return partial(outbox.cross_off, numbers=letter.numbers, now=now, error=outcome.error)
        assert isinstance(outcome, Later)
        if not first.tries:  # once: its further tries are no news
            _log.warning("notification_delayed", **said)
        until = now + pause_seconds(first.tries + 1)
        return partial(outbox.put_off, numbers=letter.numbers, until=until, error=outcome.error)

    async def _settle(self, target: Target) -> None:
        if (owed := self._owed.get(target)) is not None:
            # What was told is crossed off, whoever wants us to end.
            with trio.CancelScope(shield=True):
                await self._board.write(owed)
            del self._owed[target]

    def __repr__(self) -> str:
        return f"<Notifier, {len(self._busy)} lanes at work, {len(self._failing)} failing>"


def _most_bytes(target: Target) -> int:
    match target:
        case LogTarget():
            return LOG_BYTES
        case OpenClawTarget():
            return openclaw.TEXT_BYTES
        case FeishuTarget():
            return feishu_wire.TEXT_BYTES
