"""Which runs ended, which stand still, which have had enough turns.

The rule: whoever is only waiting is not stuck, and what may still run is stopped before its task is let go.
Two clocks run beside each other: a sign of life keeps a lease, only progress keeps a task from being suspect.
"""

from collections.abc import Iterator, Mapping, Sequence

from scheduler.core.claims import expired
from scheduler.core.commands import (
    Command,
    CountTurns,
    EndRun,
    Excuse,
    Expire,
    NeverStarted,
    ProveStart,
    StopRun,
    Suspect,
    Then,
    TooManyTurns,
    WarnTurns,
)
from scheduler.core.records import Attempt, Run
from scheduler.core.rules import (
    BEGUN_SINCE,
    EXCUSED_AT_ONCE,
    MASS,
    NEVER_STARTED_AFTER,
    TURNS_WARNING_SHARE,
    AgentRules,
)
from scheduler.core.sighting import ENDED, RunSeen, RunState
from scheduler.core.snapshot import BoardSnapshot
from scheduler.core.task import Task
from scheduler.core.world import World

_RETREAT = "retreat"


def liveness(world: World, now: float) -> tuple[list[Command], tuple[str, ...]]:
    """Commands, and an alarm where so many look dead that the fault is probably ours."""
    board, sighting = world.board, world.sighting
    tasks = {(task.id, task.epoch): task for task in board.held}
    commands: list[Command] = []
    deadly: list[StopRun | Expire] = []
    for attempt in board.attempts:
        if not attempt.live:
            continue
        task = tasks.get((attempt.task, attempt.epoch))
        if not sighting.up:
            commands += _without_gateway(attempt, task, sighting.at, now)
            continue
        for each in _of_run(attempt, sighting.runs.get(attempt.run_id), task, world, now):
            if isinstance(each, StopRun) and each.then is Then.RECOVER:
                deadly.append(each)
            else:
                commands.append(each)
    deadly += [Expire(task.id, task.epoch) for task in board.held if expired(task, now)]
    commands += _by_hand(world, now)
    held = sum(1 for task in board.held if task.held)
    dying = _dying(board, commands, deadly)
    if deadly and dying >= MASS and 2 * dying > held:
        return commands, (
            f"{dying} of {held} claims look dead at once: nothing is stopped, look at the clock, "
            "the gateway and the sidecar first",
        )
    return [*commands, *deadly], ()


def _of_run(
    attempt: Attempt, seen: RunSeen | None, task: Task | None, world: World, now: float
) -> Iterator[Command]:
    """What the state of one run asks for."""
    known = list(_ended(attempt, seen, task, world, now))
    if known or seen is None or attempt.run is not Run.STARTED:
        yield from known
    elif seen.state is RunState.UNKNOWN:
        yield from _doubtful(attempt, task, world.rules.run_timeout, now)
    elif seen.state is RunState.RUNNING:
        yield from _running(attempt, seen, task, world, now)


def _without_gateway(attempt: Attempt, task: Task | None, at: float, now: float) -> Iterator[Command]:
    """A run waits there for its gateway: when that comes back, nobody has stood still meanwhile."""
    if at and attempt.run is Run.STARTED and task is not None and task.held:
        yield from _excused(task, _last_moved(task, attempt), now)


def _running(
    attempt: Attempt, seen: RunSeen, task: Task | None, world: World, now: float
) -> Iterator[Command]:
    timeout, mine = world.rules.run_timeout, world.rules.of(attempt.agent)
    if task is None or not task.held:
        if now - (attempt.started_at or attempt.claimed_at) >= timeout:
            yield StopRun(attempt, Then.NOTHING, "it outlived its task")
        return
    turns = list(_turns(task, attempt, seen, mine))
    yield from turns
    if not any(isinstance(each, CountTurns) for each in turns):  # which is progress, whoever looked last
        waiting = task.waiting_for is not None or attempt.agent in world.waiting_agents
        yield from _stalled(task, attempt, mine, timeout, waiting=waiting, now=now)


def _dying(board: BoardSnapshot, commands: Sequence[Command], deadly: Sequence[StopRun | Expire]) -> int:
    """How many claims look dead. They were begun one after the other, and one after the other they pass the
    limit: so those count, too, that stand still for long enough to be suspect.
    """
    suspects = {task.id for task in board.held if task.held and task.suspect_at is not None}
    suspects |= {each.task for each in commands if isinstance(each, Suspect)}
    dead = {each.attempt.task if isinstance(each, StopRun) else each.task for each in deadly}
    return len(suspects | dead)


def _ended(
    attempt: Attempt, seen: RunSeen | None, task: Task | None, world: World, now: float
) -> Iterator[Command]:
    """What the gateway knows for certain of a run; nothing where it does not."""
    if seen is None or seen.state is RunState.UNKNOWN:
        return
    starts_are_slow = world.capacity.known and world.capacity.retreat_state == _RETREAT
    if attempt.started_at is not None and 0 <= attempt.started_at - world.sighting.at < BEGUN_SINCE:
        return  # begun since: that it was absent then says nothing
    if attempt.run is Run.INTENDED:
        if seen.state is not RunState.ABSENT:
            yield ProveStart(attempt)
        elif task is None or not task.held:
            yield NeverStarted(attempt)  # and nobody wants it any more
        elif now - attempt.claimed_at >= NEVER_STARTED_AFTER and not starts_are_slow:
            yield NeverStarted(attempt)
    elif seen.state in ENDED or seen.state is RunState.ABSENT:
        yield EndRun(attempt, seen)
    elif attempt.stop_because is not None:
        yield StopRun(attempt, Then.NOTHING, attempt.stop_because)


def _doubtful(attempt: Attempt, task: Task | None, run_timeout: float, now: float) -> Iterator[Command]:
    """What nobody can tell for as long as a run may last is to be stopped: that proves its end, or changes
    nothing.
    """
    age = now - (attempt.started_at or attempt.claimed_at) - attempt.excused_seconds
    if age >= run_timeout or attempt.stop_because is not None:
        held = task is not None and task.held
        why = attempt.stop_because or "nobody can tell how its run stands"
        yield StopRun(attempt, Then.RECOVER if held else Then.NOTHING, why)


def _turns(task: Task, attempt: Attempt, seen: RunSeen, rules: AgentRules) -> Iterator[Command]:
    if seen.turns is not None and seen.turns > task.turns:
        yield CountTurns(task.id, task.epoch, seen.turns)
        return
    limit = task.max_turns or rules.max_turns
    if task.turns >= limit:
        yield StopRun(attempt, Then.BLOCK, f"{task.turns} of {limit} turns", rules.notify)
    elif task.turns >= TURNS_WARNING_SHARE * limit and not task.turns_warned:
        yield WarnTurns(task.id, task.epoch, task.turns, limit, rules.notify)


def _stalled(
    task: Task, attempt: Attempt, mine: AgentRules, run_timeout: float, *, waiting: bool, now: float
) -> Iterator[Command]:
    last = _last_moved(task, attempt)
    if waiting:
        yield from _excused(task, last, now)
        return
    age = now - (attempt.started_at or attempt.claimed_at) - attempt.excused_seconds
    still = now - last
    if age >= run_timeout:
        yield StopRun(attempt, Then.RECOVER, f"its run took longer than {run_timeout:.0f} s", mine.notify)
    elif still >= mine.recover_after:
        yield StopRun(attempt, Then.RECOVER, f"no progress for {still / 60:.0f} min", mine.notify)
    elif still >= mine.suspect_after and task.suspect_at is None:
        yield Suspect(task.id, task.epoch, still, mine.notify)


def _last_moved(task: Task, attempt: Attempt) -> float:
    started = attempt.started_at or attempt.claimed_at
    return max(task.progress_at or started, task.excused_at or started, started)


def _excused(task: Task, last: float, now: float) -> Iterator[Command]:
    if task.excused_at is None or task.excused_at < now:
        yield Excuse(task.id, task.epoch, min(max(0.0, now - last), EXCUSED_AT_ONCE))


def _by_hand(world: World, now: float) -> Iterator[Command]:
    """Claims without a run: there is nothing to stop, and their lease is what ends them."""
    board, rules = world.board, world.rules
    without_run: Mapping[tuple[str, int], Attempt] = {
        (attempt.task, attempt.epoch): attempt for attempt in board.attempts if attempt.run is Run.NONE
    }
    for task in board.held:
        if not task.held or (task.id, task.epoch) not in without_run or expired(task, now):
            continue
        mine = rules.of(task.claimant)
        limit = task.max_turns or mine.max_turns
        if task.turns >= limit:
            yield TooManyTurns(task.id, task.epoch, f"{task.turns} of {limit} turns", mine.notify)
        elif task.turns >= TURNS_WARNING_SHARE * limit and not task.turns_warned:
            yield WarnTurns(task.id, task.epoch, task.turns, limit, mine.notify)
        last = max(task.progress_at or now, task.excused_at or 0.0)
        if task.waiting_for is not None or task.claimant in world.waiting_agents:
            yield from _excused(task, last, now)
        elif now - last >= mine.suspect_after and task.suspect_at is None:
            yield Suspect(task.id, task.epoch, now - last, mine.notify)
