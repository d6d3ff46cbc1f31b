"""The part of the `openclaw` command that concerns its configuration, played as 2026.9.6 behaves.

As a program: `python openclaw_configured.py DIRECTORY ARGUMENTS…`. In the directory are `openclaw.json`,
which may begin with lines of comment, and `played.json`: what the gateway has, and what is to go wrong.
"""

import json
import sys
from pathlib import Path
from typing import Any, NoReturn

REDACTED = "__OPENCLAW_REDACTED__"


def main(directory: Path, argv: list[str]) -> None:
    played = json.loads((directory / "played.json").read_text())
    file = directory / "openclaw.json"
    match argv:
        case ["gateway", "call", *_] | ["cron", *_] if played["down"]:
            error = {"type": "gateway_transport_error", "message": "not reachable", "reason": "ECONNREFUSED"}
            fail(error)
        case ["gateway", "call", method, *_]:
            call(file, played, method)
        case ["cron", verb, *job_id, "--json"]:
            cron(directory, played, verb, job_id)
        case ["config", "file", "--json"]:
            answer({"path": str(file)})
        case ["config", "get", section, "--json"]:
            config = hidden(read(file), forms=False)
            if section not in config:
                fail({"type": "cli_error", "message": f"Config path is valid but unset: {section}."})
            answer(config[section])
        case ["config", "patch", "--stdin", *options]:
            patch(file, played, options)
        case ["agents", "list", "--json"]:
            if played["no_agents"]:
                fail({"type": "cli_error", "message": "broken"})
            answer(played["agents"])


def call(file: Path, played: dict[str, Any], method: str) -> NoReturn:
    if method == "models.list":
        if played["no_models"]:
            fail({"type": "gateway_request_error", "code": "INVALID_REQUEST", "message": "no"})
        answer({"models": []})
    config = read(file)
    hashes = {"appliedConfigHash": "a", "configRevisionHash": "a"}
    shown = {"sourceConfig": hidden(config, forms=False), "parsed": hidden(config, forms=True)}
    answer({"valid": played["valid"], **shown, **hashes})


def cron(directory: Path, played: dict[str, Any], verb: str, job_id: list[str]) -> NoReturn:
    if verb == "list":
        answer({"jobs": [job for job in played["jobs"] if job["enabled"]]})
    if verb == played["refused"]:
        fail({"type": "cli_error", "message": f"cannot {verb}"})
    for job in played["jobs"]:
        if [job["id"]] == job_id:
            job["enabled"] = verb == "enable"
    (directory / "played.json").write_text(json.dumps(played))
    answer({"id": job_id})


def patch(file: Path, played: dict[str, Any], options: list[str]) -> None:
    made = json.load(sys.stdin)
    if "--dry-run" in options:
        errors = played["dry_run_errors"]
        if played["meddled_with"]:
            file.write_text(file.read_text() + "\n")
        print(json.dumps({"ok": not errors, "errors": errors}))  # noqa: T201 - what it prints is what it is for
        sys.exit(1 if errors else 0)
    if played["patch_refused"]:
        sys.exit("Config write rejected")
    config = {**merged(read(file), made), "meta": {"lastTouchedVersion": "2026.9.6"}}
    if played["forgets"]:
        config["mcp"] = {}
    file.write_text(json.dumps(config, indent=2))
    file.chmod(0o600)


def merged(tree: Any, made: Any) -> Any:
    if not isinstance(made, dict):
        return made
    result = dict(tree) if isinstance(tree, dict) else {}
    for name, value in made.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


def hidden(value: Any, *, forms: bool) -> Any:
    """Without secrets; with `forms` names of variables are shown."""
    if isinstance(value, list):
        return [hidden(each, forms=forms) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        name: REDACTED
        if name in {"apiKey", "X-Priority"} and not (forms and str(each).startswith("${"))
        else hidden(each, forms=forms)
        for name, each in value.items()
    }


def read(file: Path) -> Any:
    lines = file.read_text().splitlines()
    return json.loads("\n".join(line for line in lines if not line.startswith("//")))


def answer(value: Any) -> NoReturn:
    print(json.dumps(value))  # noqa: T201 - what it prints is what it is for
    sys.exit(0)


def fail(error: dict[str, Any]) -> NoReturn:
    print(json.dumps({"ok": False, "error": error}))  # noqa: T201 - likewise
    sys.exit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
