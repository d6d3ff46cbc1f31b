"""`agent-scheduler openclaw plan`, `apply`, `undo`: looks, shows, asks, acts."""

import json
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import trio

from scheduler.cli.printing import clean, folded, terminal_width
from scheduler.commands import OPENCLAW, environment
from scheduler.core.openclaw.plan import NoModelsError, Plan, Wanted, key_form, plan
from scheduler.core.openclaw.tree import Json, is_variable
from scheduler.gateway import OpenClawError
from scheduler.openclaw_setup.changing import make_true, take_back
from scheduler.openclaw_setup.looking import Seen, look
from scheduler.openclaw_setup.newcomers import add_agents
from scheduler.openclaw_setup.openclaw import OpenClaw
from scheduler.openclaw_setup.saved import Saved, Step
from scheduler.openclaw_setup.words import as_json, as_text
from scheduler.roster import load_roster
from scheduler.settings import Settings
from scheduler.sidecar import Sidecar
from shared import logs
from shared.addresses import http_url
from shared.errors import StartError
from shared.settings import wrong
from shared.statedir import open_state_dir

LOCK_NAME: Final = "openclaw-setup.lock"
_GATEWAY: Final = {
    True: "The gateway has taken it over; it need not be restarted.",
    False: "The gateway has not taken it over: openclaw gateway restart",
    None: "The gateway does not run; it starts with it.",
}

Say = Callable[[str], None]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Options:
    """What the operator said beside the settings."""

    key_variable: str | None = None
    models: tuple[str, ...] = ()
    keep: frozenset[str] = frozenset()
    add_agents: bool = False
    yes: bool = False
    as_json: bool = False


class Setup:
    """One call of the command. `say` is told what to print."""

    def __init__(self, settings: Settings, environ: Mapping[str, str], options: Options, say: Say) -> None:
        # What is wrong with the sidecar is in the plan; a log line would spoil it.
        logs.configure(level="CRITICAL", fmt="console", stream=sys.stderr)
        self._settings, self._options, self._say = settings, options, say
        bin_dir = Path(sys.executable).parent
        self._openclaw = OpenClaw(settings.openclaw, environment(environ, OPENCLAW, path_first=bin_dir))
        self._saved = Saved(settings.state_dir)

    def plan(self) -> None:
        """What `apply` would do. Raises StartError."""
        seen, made = trio.run(_told, self._look)
        if self._options.as_json:
            self._print({"file": str(seen.file), **as_json(made)})
        else:
            self._say(f"{seen.file}\n\n{as_text(made, terminal_width())}")

    def apply(self) -> None:
        """Show it, ask, do it. Raises StartError."""
        with closing(open_state_dir(self._settings.state_dir, LOCK_NAME)):
            seen, made = trio.run(_told, self._look)
            adding = made.newcomers if self._options.add_agents else ()
            if not self._options.as_json:
                self._say(f"{seen.file}\n\n{as_text(made, terminal_width())}")
            if not (made.is_empty and not adding):
                self._agree("Make these changes?")
            if adding:  # a roster that cannot be added to is found out before anything has changed
                add_agents(self._settings.agents_file, adding, dry_run=True)
            gateway = None if made.is_empty else trio.run(_told, partial(self._make, seen, made))
            if adding:
                self._add_agents(adding, made)
        done = {"applied": not made.is_empty, "added_agents": list(adding), "gateway": gateway}
        if self._options.as_json:
            self._print({"file": str(seen.file), **as_json(made), **done})
            return
        if adding:
            self._say(f"Added to {self._settings.agents_file}: {', '.join(adding)}")
        if gateway is not None:
            self._say(
                f"Done. {gateway}\n`agent-scheduler openclaw undo` takes it back. What that needs, with any "
                f"keys of the configuration, is in {self._saved.file}, which only you can read."
            )

    def undo(self) -> None:
        """Take back every `apply`, the newest first. Raises StartError."""
        with closing(open_state_dir(self._settings.state_dir, LOCK_NAME)):
            steps = self._saved.steps()
            if steps and not self._options.as_json:
                self._say("\n".join(map(_summary, reversed(steps))))
            if steps:
                self._agree("Take these changes back?")
            notes: list[str] = []
            gateway = trio.run(_told, partial(self._take_back, len(steps), notes.append)) if steps else None
        if self._options.as_json:
            self._print({"undone": len(steps), "notes": notes, "gateway": gateway})
        elif gateway is None:
            self._say("There is nothing to take back.")
        else:
            width = terminal_width()
            self._say("\n".join([*(folded(clean(each), width) for each in notes), f"Done. {gateway}"]))

    async def _look(self) -> tuple[Seen, Plan]:
        wanted, roster = self._wanted(), load_roster(self._settings)
        seen = await look(self._openclaw)
        key = key_form(seen.configuration.authored, self._options.key_variable)
        try:
            made = plan(
                seen.configuration.config,
                seen.agents,
                roster.agents,
                replace(wanted, key=key),
                jobs=seen.jobs,
                offered=seen.offered,
            )
        except NoModelsError as error:
            raise StartError(
                "OpenClaw uses no model of NVIDIA's: name one with --model, as deepseek-ai/deepseek-v3"
            ) from error
        return seen, replace(made, notes=(*made.notes, *seen.notes, *await self._sidecar_away()))

    async def _make(self, seen: Seen, made: Plan) -> str:
        await make_true(self._openclaw, self._saved, seen, made)
        return _GATEWAY[await self._openclaw.has_taken_over()]

    def _add_agents(self, ids: Sequence[str], made: Plan) -> None:
        try:
            add_agents(self._settings.agents_file, ids)
        except StartError as error:
            if made.is_empty:
                raise
            remedy = "OpenClaw itself is set up; agent-scheduler openclaw undo takes that back"
            raise StartError(*error.lines, remedy) from error

    async def _take_back(self, steps: int, note: Say) -> str:
        for _ in range(steps):
            await take_back(self._openclaw, self._saved, note)
        return _GATEWAY[await self._openclaw.has_taken_over()]

    def _wanted(self) -> Wanted:
        """Raises StartError: without addresses there is nothing to point at."""
        settings, variable = self._settings, self._options.key_variable
        if variable is not None and not is_variable(f"${{{variable}}}"):
            raise StartError("--key-variable: expected the name of a variable, not a key", exit_code=2)
        if not settings.sidecar_url:
            name = settings.origin("sidecar_url").name
            raise StartError(wrong(name, "''", "the sidecar's address, to point OpenClaw at"), exit_code=2)
        if settings.port == 0:
            name = settings.origin("port").name
            raise StartError(wrong(name, "0", "a fixed port that OpenClaw can be pointed at"), exit_code=2)
        return Wanted(
            base_url=f"{settings.sidecar_url}/v1",
            mcp_url=f"{http_url(settings.host, settings.port)}/mcp",
            models=self._options.models,
            keep=self._options.keep,
        )

    async def _sidecar_away(self) -> tuple[str, ...]:
        sidecar = Sidecar(self._settings.sidecar_url)
        try:
            capacity = (await sidecar.look()).capacity
        finally:
            await sidecar.aclose()
        url = self._settings.sidecar_url
        return () if capacity.known else (f"{capacity.error} ({url}): no agent gets an answer without it",)

    def _agree(self, question: str) -> None:
        """Raises StartError if somebody said no, or nobody could say anything."""
        if self._options.yes:
            return
        if not sys.stdin.isatty():
            raise StartError("nothing was changed: there is nobody to ask; --yes goes without", exit_code=2)
        sys.stderr.write(f"{question} [y/N] ")
        sys.stderr.flush()
        if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
            raise StartError("nothing was changed")

    def _print(self, value: Json) -> None:
        self._say(json.dumps(value, indent=2))


async def _told(do: Callable[[], Awaitable[T]]) -> T:
    """`do`, with OpenClaw's errors in words for the operator."""
    try:
        return await do()
    except OpenClawError as error:
        raise StartError(f"OpenClaw: {error}") from error


def _summary(step: Step) -> str:
    what = f"{len(step.changes)} changes in {step.file}"
    disabled = f", {len(step.automations)} automations disabled" if step.automations else ""
    return f"{step.at}: {what}{disabled}"
