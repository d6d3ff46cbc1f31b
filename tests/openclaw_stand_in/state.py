"""The gateway's memory: one JSON file, one process at a time."""

import fcntl
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Gateway = dict[str, Any]
"""`agents`, `providers`, `plans`, `workboard`: as told. `down`, `slow`, `garbage`: the faults. `known`: the
idempotency keys that it remembers, run id -> session key. `sessions`, `cards`: by key, by id. `starts`,
`calls`: what has happened.
"""
Session = dict[str, Any]

MODEL = "deepseek-ai/deepseek-v3"


@contextmanager
def changing(directory: str) -> Iterator[Gateway]:
    """The memory; what is changed in it is kept, unless an exception passes."""
    file = Path(directory) / "gateway.json"
    with (Path(directory) / "gateway.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        gateway = json.loads(file.read_bytes()) if file.exists() else _fresh()
        yield gateway
        # Replaced, so that a process that is killed in between leaves the old one.
        draft = file.with_suffix(".new")
        draft.write_text(json.dumps(gateway), encoding="utf-8")
        draft.replace(file)


def open_session(gateway: Gateway, key: str, agent: str) -> Session:
    """The session of that key, made where there is none."""
    fresh = {
        "key": key,
        "agentId": agent,
        "sessionId": f"00000000-0000-4000-8000-{len(gateway['sessions']):012d}",
        "status": None,
        "updatedAt": now_ms(),
        "lastInteractionAt": now_ms(),
        "archived": False,
        "modelProvider": gateway["providers"][0],
        "model": MODEL,
        "isBackground": False,
        # The rest is not shown.
        "active": "",  # run id
        "last": "",  # run id
        "lost": False,
        "pid": 0,
        "messages": [],
    }
    session: Session = gateway["sessions"].setdefault(key, fresh)
    return session


def session_of(gateway: Gateway, run_id: str) -> Session:
    """The session that the run with this idempotency key has."""
    return next(
        session
        for session in gateway["sessions"].values()
        if any(message.get("idempotencyKey") == f"{run_id}:user" for message in session["messages"])
    )


def now_ms() -> int:
    """Unix time in milliseconds."""
    return int(time.time() * 1000)  # noqa: TID251 - a foreign program, with a clock of its own


def _fresh() -> Gateway:
    return {
        "agents": [],
        "providers": ["nvidia"],
        "plans": [],
        "workboard": "on",
        "down": False,
        "slow": 0,
        "garbage": None,
        "known": {},
        "sessions": {},
        "cards": {},
        "starts": [],
        "calls": [],
    }
