"""OpenClaw's configuration and automations, through OpenClaw's own command line.

Measured on 2026.9.6:

-   The gateway's ``config.get`` has the configuration as it is written (`parsed`), and with its includes
    and variables put in (`sourceConfig`), both without secrets. ``config get``, which needs no gateway, adds
    what OpenClaw takes for granted.
-   ``config patch`` merges objects, removes at null, and wants to hear by name of each list that loses
    something. It refuses what would halve the file, and any word that stands for a secret.
-   What a dry run cannot find in our environment, the gateway may have in its own.
-   A gateway that runs sees the change by itself; it has taken it over when its two hashes are the same.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio

from scheduler.commands import CommandError, Output, run_command
from scheduler.core.openclaw.plan import Known
from scheduler.core.openclaw.tree import Json, dotted, lists_in
from scheduler.gateway import Gateway, GatewayDownError, GatewayError

SECONDS: Final = 120.0
"""For one question: three on two idle cores."""
SECTIONS: Final = ("models", "agents", "mcp")
TAKEN_OVER_SECONDS: Final = 20.0
"""The gateway looks at its file within a second, and is done in two."""
_LOOK_SECONDS: Final = 0.5
_MAX_WORDS: Final = 600


@dataclass(frozen=True, slots=True)
class Configuration:
    """What the configuration says. `authored` is the same before variables were put in, as far as known."""

    config: Json
    authored: Json
    gateway_runs: bool


class OpenClaw:
    """The OpenClaw that `command` finds. Every method raises OpenClawError."""

    def __init__(self, command: Sequence[str], environ: Mapping[str, str]) -> None:
        self._command, self._environ = tuple(command), dict(environ)
        self._gateway = Gateway(command, environ, timeout_seconds=SECONDS)

    async def file(self) -> Path:
        """Where the configuration is."""
        return Path(str((await self._gateway.ask("config", "file")).get("path")))

    async def configuration(self) -> Configuration:
        """The sections that concern us, without secrets."""
        try:
            answer = await self._gateway.call("config.get", {})
        except GatewayDownError:
            return await self._without_gateway()
        if answer.get("valid") is not True:
            raise GatewayError("OpenClaw's configuration is not valid: openclaw config validate", final=True)
        return Configuration(
            _sections(answer.get("sourceConfig")), _sections(answer.get("parsed")), gateway_runs=True
        )

    async def agents(self) -> list[Known]:
        """In OpenClaw's order."""
        output = await self._run("agents", "list", "--json")
        rows = _json(output)
        if output.code != 0 or not isinstance(rows, list):
            raise GatewayError(_words(output), final=True)
        return [
            Known(row["id"], str(row.get("model") or ""))
            for row in rows
            if isinstance(row, dict) and isinstance(row.get("id"), str)
        ]

    async def jobs(self) -> list[dict[str, Json]]:
        """Its enabled automations. The gateway has them."""
        return _objects((await self._gateway.ask("cron", "list")).get("jobs"))

    async def offered(self, agent: str) -> dict[str, Json]:
        """What the gateway tells of the models of `nvidia`, by id."""
        answer = await self._gateway.call("models.list", {"agentId": agent})
        rows = _objects(answer.get("models"))
        return {str(row.get("id")): row for row in rows if row.get("provider") == "nvidia"}

    async def try_patch(self, made: Mapping[str, Json]) -> None:
        """Whether OpenClaw would take it."""
        output = await self._patch(made, "--dry-run", "--json")
        answer = _json(output)
        errors = _objects(answer.get("errors")) if isinstance(answer, dict) else []
        serious = [str(each.get("message")) for each in errors if each.get("kind") != "resolvability"]
        if serious or (output.code != 0 and not errors):
            raise GatewayError("; ".join(serious)[:_MAX_WORDS] or _words(output), final=True)

    async def patch(self, made: Mapping[str, Json]) -> None:
        """One write. By stdin: an argument list is everybody's to read."""
        output = await self._patch(made)
        if output.code != 0:
            raise GatewayError(_words(output), final=True)

    async def disable(self, job: str) -> None:
        """An automation, by its id."""
        await self._gateway.ask("cron", "disable", job)

    async def enable(self, job: str) -> None:
        """Likewise."""
        await self._gateway.ask("cron", "enable", job)

    async def has_taken_over(self) -> bool | None:
        """Whether the gateway goes by the file as it is now; None where none runs."""
        with trio.move_on_after(TAKEN_OVER_SECONDS):
            while True:
                try:
                    answer = await self._gateway.call("config.get", {})
                except GatewayDownError:
                    return None
                if answer.get("appliedConfigHash") == answer.get("configRevisionHash"):
                    return True
                await trio.sleep(_LOOK_SECONDS)  # nothing rings here when it has
        return False

    async def _without_gateway(self) -> Configuration:
        found: dict[str, Json] = {}
        for section in SECTIONS:
            try:
                found[section] = await self._gateway.ask("config", "get", section)
            except GatewayError as error:
                if "unset" not in str(error):
                    raise
        return Configuration(found, found, gateway_runs=False)

    async def _patch(self, made: Mapping[str, Json], *options: str) -> Output:
        lists = [word for path in lists_in(dict(made)) for word in ("--replace-path", dotted(path))]
        return await self._run(
            "config", "patch", "--stdin", *lists, *options, stdin=json.dumps(made).encode()
        )

    async def _run(self, *arguments: str, stdin: bytes = b"") -> Output:
        try:
            return await run_command(
                [*self._command, *arguments],
                environ=self._environ,
                timeout_seconds=SECONDS,
                stdin=stdin,
            )
        except CommandError as error:
            raise GatewayDownError(str(error)) from error


def _sections(tree: Json) -> dict[str, Json]:
    return {name: tree[name] for name in SECTIONS if name in tree} if isinstance(tree, dict) else {}


def _objects(value: Json) -> list[dict[str, Json]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _json(output: Output) -> Json:
    try:
        return json.loads(output.stdout)
    except (ValueError, RecursionError):
        return None


def _words(output: Output) -> str:
    """Why it refused. Its messages name places, and never secrets."""
    answer = _json(output)
    error = answer.get("error") if isinstance(answer, dict) else None
    said = error.get("message") if isinstance(error, dict) else None
    text = str(said or output.stderr.decode("utf-8", "replace"))
    return " ".join(text.split())[:_MAX_WORDS] or f"exit code {output.code}"
