"""The command line: one question, one JSON answer, exit code 0 or 1."""

import json
import os
import signal
import sys
import time
from itertools import pairwise
from typing import Any, NoReturn

from tests.openclaw_stand_in import methods, runs, state, workboard
from tests.openclaw_stand_in.refusal import RefusedError

ADDRESS = "ws://127.0.0.1:18789"


def main(directory: str, argv: list[str]) -> None:
    """As `openclaw ARGV`; or, for ourselves, `--agent KEY PROGRAM…`, which plays an agent."""
    match argv:
        case ["--version"]:
            print("OpenClaw 2026.9.6 (stand-in)")  # noqa: T201 - what it prints is what it is for
        case ["gateway", "call", method, *options]:
            _call(directory, method, options)
        case ["sessions", "archive", *keys]:
            with state.changing(directory) as gateway:
                down = gateway["down"]
                answer = (
                    _unreachable() if down else methods.archive(gateway, [k for k in keys if k != "--json"])
                )
            if not answer["ok"] and not down:
                message = "Session archive did not complete for every requested key."
                answer["error"] = {"type": "cli_error", "message": message}
            _say(directory, answer)
        case ["workboard", "list", "--json"]:
            with state.changing(directory) as gateway:
                off = workboard.OFF.get(gateway["workboard"])
                cards = _error("cli_error", message=off) if off else workboard.listing(gateway)
            _say(directory, cards)
        case ["--agent", key, *program]:
            _play(directory, key, program)
        case _:
            _say(directory, _error("cli_error", message=f"unknown command: {' '.join(argv[:2])}"))


def _call(directory: str, method: str, options: list[str]) -> None:
    given = dict(pairwise(options))
    try:
        params = json.loads(given.get("--params", "{}"))
    except ValueError:
        _say(directory, _error("cli_error", message="--params must be valid JSON."))
    plan: dict[str, Any] = {}
    with state.changing(directory) as gateway:
        if gateway["down"]:
            answer = _unreachable()
        else:
            gateway["calls"].append((method, params))
            begun = len(gateway["starts"])
            try:
                answer = methods.answer(gateway, method, params)
            except RefusedError as refusal:
                answer = _error(
                    "gateway_request_error", code=refusal.code, message=str(refusal), retryable=False
                )
            if len(gateway["starts"]) > begun:
                plan = runs.plan_of(gateway, params["idempotencyKey"])
                if plan["spawn"]:
                    session = gateway["sessions"][params["sessionKey"].lower()]
                    session["pid"] = _spawn(directory, session["key"], plan["spawn"])
    if plan.get("crash"):
        os.kill(os.getpid(), signal.SIGKILL)
    _say(directory, answer)


def _say(directory: str, answer: dict[str, Any]) -> NoReturn:
    with state.changing(directory) as gateway:
        slow, garbage = gateway["slow"], gateway["garbage"]
    if slow:
        time.sleep(slow)
    sys.stdout.write(json.dumps(answer, indent=2) + "\n" if garbage is None else garbage)
    sys.exit(0 if answer.get("ok", True) else 1)


def _unreachable() -> dict[str, Any]:
    return _error(
        "gateway_transport_error",
        kind="closed",
        message=f"Gateway not reachable at {ADDRESS} (ECONNREFUSED).",
        reason="connect ECONNREFUSED 127.0.0.1:18789",
    )


def _error(error_type: str, **more: object) -> dict[str, Any]:
    return {"ok": False, "error": {"type": error_type, **more}}


def _spawn(directory: str, key: str, program: list[str]) -> int:
    """A process that outlives the command, as the real gateway's agents do; the leader of its own group."""
    import subprocess  # 10 ms that other commands need not take

    argv = [sys.executable, "-I", "-S", f"{directory}/openclaw", "--agent", key, *program]
    with open(os.devnull, "r+b") as nothing:  # noqa: PTH123 - the device
        child = subprocess.Popen(argv, stdin=nothing, stdout=nothing, stderr=nothing, start_new_session=True)
    child.returncode = 0  # nobody waits for it; init does
    return child.pid


def _play(directory: str, key: str, program: list[str]) -> None:
    """The agent's program, with the prompt on its stdin; how it ends is how the run ends."""
    import subprocess  # as above

    with state.changing(directory) as gateway:
        prompt = gateway["sessions"][key]["messages"][0]["content"]
    played = subprocess.run(program, input=prompt, capture_output=True, text=True, check=False)
    with state.changing(directory) as gateway:
        session = gateway["sessions"][key]
        if session["active"]:
            well = played.returncode == 0
            said = played.stdout if well else played.stderr[-500:] or f"exit code {played.returncode}"
            runs.end(gateway, session, "done" if well else "failed", said.strip())
