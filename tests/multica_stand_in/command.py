"""The command line: one question, an answer on stdout, the kind of failure in the exit code."""

import json
import sys
import time
from typing import Any, NoReturn

from tests.multica_stand_in.state import PAGE, Server, changing

NETWORK, AUTH, NOT_FOUND, VALIDATION = 2, 3, 4, 5
STATUSES = ("backlog", "todo", "in_progress", "in_review", "done", "blocked", "cancelled")

# The words of a command, and its flags: whether each has a value. All know the global ones.
GLOBAL = {"--workspace-id": True, "--output": True}
COMMANDS = {
    ("issue", "list"): {"--assignee-id": True, "--status": True, "--limit": True, "--offset": True},
    ("issue", "get"): {},
    ("issue", "status"): {"--no-start": False},
    ("issue", "comment", "add"): {"--content-stdin": False},
}


class ExitError(Exception):
    """Ends with this exit code, and says why."""

    def __init__(self, code: int, said: str) -> None:
        super().__init__(said)
        self.code = code


def main(directory: str, argv: list[str]) -> None:
    """As `multica ARGV`."""
    with changing(directory) as server:
        server["calls"].append(argv)
        slow, flood, garbage, fails = (server[name] for name in ("slow", "flood", "garbage", "fails"))
        code, said, only = fails
        code = 0 if only and only not in argv else code
        answer = None
        try:
            answer = None if code else _done(server, argv)
        except ExitError as failure:
            code, said = failure.code, str(failure)
    if slow:
        time.sleep(slow)
    if code:
        sys.stderr.write(f"Error: {said}\n")
        sys.exit(code)
    if flood:
        _flood(flood)
    sys.stdout.write(json.dumps(answer, indent=2) + "\n" if garbage is None else garbage)


def _flood(megabytes: int) -> NoReturn:
    for _ in range(megabytes):
        sys.stdout.write(json.dumps(["x" * 1024] * 1024))
    sys.exit(0)


def _done(server: Server, argv: list[str]) -> Any:
    words, flags = _parsed(argv)
    match words:
        case ["issue", "list"]:
            return _list(server, flags)
        case ["issue", "get", issue_id]:
            return _issue(server, issue_id)
        case ["issue", "status", issue_id, status]:
            return _status(server, issue_id, status, no_start="--no-start" in flags)
        case ["issue", "comment", "add", issue_id]:
            return _comment(server, issue_id, flags)
    raise ExitError(1, f"unknown command {' '.join(words)!r}")


def _parsed(argv: list[str]) -> tuple[list[str], dict[str, str]]:
    known = dict(GLOBAL)
    for command, flags in COMMANDS.items():
        if tuple(argv[: len(command)]) == command:
            known |= flags
    words, given = list[str](), dict[str, str]()
    rest = iter(argv)
    for word in rest:
        if not word.startswith("-"):
            words.append(word)
        elif word not in known:
            raise ExitError(1, f"unknown flag: {word}")
        else:
            given[word] = next(rest, "") if known[word] else ""
    if given.get("--output") != "json":
        raise ExitError(1, "a program reads this: it needs --output json")
    return words, given


def _list(server: Server, flags: dict[str, str]) -> Any:
    if flags.get("--workspace-id", "w-1") != "w-1":
        raise ExitError(NOT_FOUND, "The requested resource was not found.")
    found = [
        issue if server["described"] else {**issue, "description": None}
        for issue in server["issues"].values()
        if flags.get("--assignee-id") in {None, issue["assignee_id"]}
        and flags.get("--status") in {None, issue["status"]}
    ]
    offset = 0 if server["endless"] else int(flags.get("--offset", "0"))
    page = found[offset : offset + min(PAGE, int(flags.get("--limit", "50")))]
    if server["bare"]:
        return page
    more = offset + len(page) < len(found) or server["endless"]
    return {"issues": page or None, "total": len(found), "offset": offset, "has_more": more}


def _issue(server: Server, issue_id: str) -> dict[str, Any]:
    issue: dict[str, Any] | None = server["issues"].get(issue_id)
    if issue is None:
        raise ExitError(NOT_FOUND, "The requested resource was not found.")
    return issue


def _status(server: Server, issue_id: str, status: str, *, no_start: bool) -> dict[str, Any]:
    if status not in STATUSES:
        raise ExitError(VALIDATION, f"Invalid request: invalid status {status!r}")
    issue = _issue(server, issue_id)
    if issue["status"] != status and not no_start:
        server["runs"].append(issue_id)
    issue.update(status=status, status_category=status)
    return issue


def _comment(server: Server, issue_id: str, flags: dict[str, str]) -> dict[str, Any]:
    if "--content-stdin" not in flags:
        raise ExitError(VALIDATION, "Invalid request: content is required")
    content = sys.stdin.buffer.read().decode().removesuffix("\n")
    if not content:
        raise ExitError(1, "stdin content for --content-stdin is empty")
    _issue(server, issue_id)
    if content.split()[:1] != ["/note"]:
        server["runs"].append(issue_id)
    comment = {"issue": issue_id, "content": content}
    server["comments"].append(comment)
    return comment
