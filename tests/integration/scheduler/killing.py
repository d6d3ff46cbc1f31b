"""A scheduler that is killed at a named point: `python -m tests.integration.scheduler.killing POINT`.

A point is `MODULE:CLASS.METHOD`, `before` or `after` it, at its n-th call in this process, such as
`scheduler.blackboard.store:Store.claim after 1`. The product knows nothing of it: the method is wrapped here,
and SIGKILL takes the process away where a power cut would.
"""

import os
import signal
import sys
from collections.abc import Callable
from importlib import import_module
from inspect import iscoroutinefunction
from itertools import count
from typing import Any

from scheduler.__main__ import app


def kill_at(point: str) -> None:
    """From now on that point is this process's last."""
    target, when, nth = point.split()
    module, _, path = target.partition(":")
    owner, name = path.split(".")
    place = getattr(import_module(module), owner)
    setattr(place, name, _deadly(getattr(place, name), when, int(nth)))


def _deadly(method: Callable[..., Any], when: str, nth: int) -> Callable[..., Any]:
    calls = count(1)

    def reached(now: str, call: int) -> None:
        if now == when and call == nth:
            os.kill(os.getpid(), signal.SIGKILL)

    def plain(*args: object, **kwargs: object) -> object:
        call = next(calls)
        reached("before", call)
        answer = method(*args, **kwargs)
        reached("after", call)
        return answer

    async def awaited(*args: object, **kwargs: object) -> object:
        call = next(calls)
        reached("before", call)
        answer = await method(*args, **kwargs)
        reached("after", call)
        return answer

    return awaited if iscoroutinefunction(method) else plain


if __name__ == "__main__":
    kill_at(sys.argv.pop(1))
    app(prog_name="agent-scheduler")
