"""The real OpenClaw as a client: its own Node, a home of its own, one turn of an agent at a time.

``openclaw agent --local`` runs the turn in one process without a gateway; what it sends to the model is the
same. The configuration under test is the one that the sidecar itself prints for its users.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from tests.integration.processes import ROOT, start, stop

# Put there by .ci/run; outside git, 800 MB.
MODULES = ROOT / ".cache/openclaw/node_modules"
OPENCLAW = (str(MODULES / "node/bin/node"), str(MODULES / "openclaw/openclaw.mjs"))
MODEL = "deepseek-ai/deepseek-v3"
TURN_SECONDS = 180  # 11 s on two idle cores; CI's are neither two nor idle


@dataclass(frozen=True)
class Turn:
    """What one turn came to: the exit code, the JSON answer, what OpenClaw said on the way."""

    code: int
    answer: dict[str, Any]
    log: str

    @property
    def text(self) -> str:
        payloads: list[dict[str, str]] = self.answer.get("payloads", [])
        return "\n".join(payload["text"] for payload in payloads)

    @property
    def attempts(self) -> list[dict[str, Any]]:
        """OpenClaw's own record of what it tried."""
        tried: list[dict[str, Any]] = self.answer["meta"]["executionTrace"]["attempts"]
        return tried


def installed() -> bool:
    """Node included."""
    return all(Path(program).exists() for program in OPENCLAW)


async def configure(
    home: Path,
    settings: Mapping[str, str],
    more: Mapping[str, Mapping[str, object]] | None = None,
    *,
    patience_seconds: int | None = None,
) -> None:
    """Set one up in `home` as docs/openclaw.md says: our printed block, by OpenClaw's ``config patch``.

    `settings` are the sidecar's; `more` is added to the sections of the block; `patience_seconds` replaces
    the time-out of its providers.
    """
    printed = [sys.executable, "-m", "proxy", "openclaw-config", "--models", MODEL]
    patch = json.loads(await _run(printed, home, {"HOME": str(home), **settings}))
    defaults = patch["agents"]["defaults"]
    defaults["model"] = {"primary": f"nvidia/{MODEL}"}
    defaults["workspace"] = str(home / "workspace")
    if patience_seconds is not None:
        for provider in patch["models"]["providers"].values():
            provider["timeoutSeconds"] = patience_seconds
    for section, added in (more or {}).items():
        patch[section] = {**patch.get(section, {}), **added}
    file = home / "patch.json"
    file.write_text(json.dumps(patch))
    await _run([*OPENCLAW, "config", "patch", "--file", str(file)], home, environment(home))


async def take_turn(home: Path, message: str, *, session: str = "agent:main:test") -> Turn:
    """One turn of the agent `main`, from the question to the answer."""
    command = [*OPENCLAW, "agent", "--local", "--json"]
    command += ["--session-key", session, "--timeout", str(TURN_SECONDS), "--message", message]
    process, output, errors = await start(command, home, "openclaw", environment(home))
    await _end(process)
    said = output.read_text()
    if process.returncode != 0:
        return Turn(process.returncode or 0, {}, said + errors.read_text())
    return Turn(0, json.loads(said), errors.read_text())


async def _run(command: Sequence[str], home: Path, env: Mapping[str, str]) -> str:
    """What `command` prints; it has to end well."""
    process, output, errors = await start(command, home, "command", env)
    await _end(process)
    assert process.returncode == 0, output.read_text() + errors.read_text()
    return output.read_text()


async def _end(process: trio.Process) -> None:
    try:
        with trio.fail_after(TURN_SECONDS):
            await process.wait()
    finally:
        await stop(process)


def environment(home: Path) -> dict[str, str]:
    """What each process of the OpenClaw in `home` is given."""
    return {
        "PATH": f"{MODULES / 'node/bin'}:/usr/bin:/bin",
        "HOME": str(home),
        "OPENCLAW_STATE_DIR": str(home / ".openclaw"),
        "TMPDIR": str(home),  # it writes logs and locks there that all OpenClaws of a machine would share
        "NVIDIA_API_KEY": "nvapi-of-openclaw",
        "NO_COLOR": "1",
    }
