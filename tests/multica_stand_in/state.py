"""The server's memory: one JSON file, one process at a time."""

import fcntl
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Server = dict[str, Any]
"""`issues`: by id, as the API shows them. `comments`, `runs`, `calls`: what has happened. The rest is what it
does besides, and faults.
"""

PAGE = 50
"""Issues in an answer, however many are asked for."""


@contextmanager
def changing(directory: str) -> Iterator[Server]:
    """The memory; what is changed in it is kept, unless an exception passes."""
    file = Path(directory) / "multica.json"
    with (Path(directory) / "multica.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        server = json.loads(file.read_bytes()) if file.exists() else _fresh()
        before = json.dumps(server)
        yield server
        after = json.dumps(server)
        if after != before:
            # Replaced, so that a process that is killed in between leaves the old one.
            draft = file.with_suffix(".new")
            draft.write_text(after, encoding="utf-8")
            draft.replace(file)


def add(server: Server, title: str, assignee: str | None, status: str, more: Mapping[str, Any]) -> str:
    """A new issue; its id."""
    number = len(server["issues"]) + 1
    issue_id = f"00000000-0000-4000-8000-{number:012d}"
    server["issues"][issue_id] = {
        "id": issue_id,
        "workspace_id": "w-1",
        "number": number,
        "identifier": f"MUL-{number}",
        "title": title,
        "description": None,
        "status": status,
        "status_category": status,
        "status_name": "",
        "priority": "none",
        "assignee_type": "agent" if assignee else None,
        "assignee_id": assignee,
        "creator_type": "member",
        "creator_id": "11111111-1111-4111-8111-111111111111",
        "parent_issue_id": None,
        "created_at": f"2026-11-20T08:{number % 60:02d}:00Z",
        "updated_at": "2026-11-20T09:00:00Z",
        "last_activity_at": None,
        "metadata": {},
        **more,
    }
    return issue_id


def _fresh() -> Server:
    return {
        "issues": {},
        "comments": [],
        "runs": [],
        "calls": [],
        "fails": [0, "", ""],
        "garbage": None,
        "slow": 0,
        "flood": 0,
        "bare": False,
        "endless": False,
        "described": False,
    }
