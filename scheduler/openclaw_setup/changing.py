"""Makes a plan true in OpenClaw, and takes a step back."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import trio

from scheduler.core.openclaw.plan import Plan
from scheduler.core.openclaw.tree import Change, changed, dotted, holds, patch, taken_back, value_at
from scheduler.gateway import GatewayDownError, GatewayError, OpenClawError
from scheduler.openclaw_setup.looking import Seen, read
from scheduler.openclaw_setup.openclaw import OpenClaw
from scheduler.openclaw_setup.saved import Saved, Step, digest, write_whole
from shared import clock
from shared.errors import StartError

KEPT_NAME: Final = "openclaw.json.before"
_PRIVATE: Final = 0o600

Say = Callable[[str], None]


async def make_true(openclaw: OpenClaw, saved: Saved, seen: Seen, plan: Plan) -> None:
    """All of it or, as far as anybody can, nothing. Raises StartError, OpenClawError."""
    config = seen.configuration.config
    made = patch(config, changed(config, plan.changes))
    if made:
        await openclaw.try_patch(made)
    if read(seen.file)[0] != seen.original:
        raise StartError(f"{seen.file} has changed meanwhile; nothing was done. Look at the plan again")
    saved.add(
        Step(
            at=clock.rfc3339(clock.wall()),
            file=seen.file,
            mode=seen.mode,
            original=seen.original,
            after_sha256=None,
            changes=plan.changes,
            automations=plan.automations,
        )
    )
    try:
        if made:
            await openclaw.patch(made)
        saved.applied(digest(read(seen.file)[0]))
        await _disable(openclaw, plan)
        await _verify(openclaw, plan)
    except (OpenClawError, StartError) as error:
        raise await _rolled_back(openclaw, saved, error) from error


async def take_back(openclaw: OpenClaw, saved: Saved, say: Say) -> None:
    """The newest step. `say` hears what could not be as it was. Raises StartError, OpenClawError."""
    step = saved.steps()[-1]
    await _enable(openclaw, step, say)
    content, _ = read(step.file)
    if digest(content) == step.after_sha256:
        try:
            await trio.to_thread.run_sync(write_whole, step.file, step.original, step.mode)
        except OSError as error:
            raise StartError(f"{step.file} cannot be written: {error.strerror}") from error
    elif content != step.original:
        await _take_back_changes(openclaw, saved, step, say)
    saved.drop()


async def _rolled_back(openclaw: OpenClaw, saved: Saved, error: Exception) -> StartError:
    """What to tell of an `apply` that failed half-way."""
    failed = f"OpenClaw did not take the change: {error}"
    said: list[str] = []
    try:
        await take_back(openclaw, saved, said.append)
    except (OpenClawError, StartError) as worse:
        remedy = "when that is mended: agent-scheduler openclaw undo"
        return StartError(failed, f"it could not be taken back: {worse}", remedy)
    return StartError(failed, "it was taken back", *said)


async def _disable(openclaw: OpenClaw, plan: Plan) -> None:
    for automation in plan.automations:
        try:
            await openclaw.disable(automation.id)
        except GatewayError as error:
            raise StartError(
                f"automation {automation.name} cannot be disabled: {error}; --keep {automation.id} leaves it"
            ) from error


async def _enable(openclaw: OpenClaw, step: Step, say: Say) -> None:
    """Just those. One that somebody removed meanwhile is told."""
    for automation in step.automations:
        try:
            await openclaw.enable(automation.id)
        except GatewayDownError as error:
            raise StartError(
                f"OpenClaw's gateway has to run, so that its automations can be enabled again: {error}"
            ) from error
        except GatewayError as error:
            say(f"automation {automation.name}: {error}")


async def _take_back_changes(openclaw: OpenClaw, saved: Saved, step: Step, say: Say) -> None:
    left: list[Change] = []
    for changes in _portions(step.changes):
        config = (await openclaw.configuration()).config
        target, alone = taken_back(config, changes)
        left += alone
        if made := patch(config, target):
            await openclaw.patch(made)
    for each in left:
        say(f"{dotted(each.path)}: something else stands there by now, and stays")
    kept = saved.file.with_name(KEPT_NAME)
    try:
        write_whole(kept, step.original, _PRIVATE)
    except OSError as error:
        raise StartError(f"{kept} cannot be written: {error.strerror}") from error
    say(
        f"{step.file} was changed by others since: the changes were taken back one by one, "
        f"which loses its comments. As it was before, it is kept in {kept}"
    )


def _portions(changes: Sequence[Change]) -> Iterator[Sequence[Change]]:
    """Each provider that was added by itself: OpenClaw refuses what would halve its file."""
    added = [each for each in changes if each.path[:2] == ("models", "providers") and len(each.path) == 3]
    yield from ([each] for each in reversed(added))
    yield [each for each in changes if each not in added]


async def _verify(openclaw: OpenClaw, plan: Plan) -> None:
    """By reading it back. Raises StartError, OpenClawError."""
    config = (await openclaw.configuration()).config
    wrong = [dotted(each.path) for each in plan.changes if not holds(value_at(config, each.path), each.after)]
    if wrong:
        raise StartError(f"what was written does not stand there: {', '.join(wrong)}")
