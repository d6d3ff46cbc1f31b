"""One of many processes that claim at once: told on stdin what, started by a second line there."""

import json
import sys
import time
from contextlib import closing
from pathlib import Path

from scheduler.blackboard.store import Store
from shared import clock


def main() -> None:
    given = json.loads(sys.stdin.readline())
    with closing(Store.open(given["url"], artifacts=Path(given["artifacts"]), create=False)) as store:
        store.check()
        print("ready", flush=True)
        sys.stdin.readline()
        began = time.perf_counter()
        milliseconds = [_claim(store, task, given["lease_seconds"]) for task in given["tasks"]]
        ended = time.perf_counter()
    # One clock for all processes of a machine.
    print(json.dumps({"began": began, "ended": ended, "milliseconds": milliseconds}))


def _claim(store: Store, task: str, lease_seconds: float) -> float:
    begun = time.perf_counter()
    store.claim(task, agent="bench", now=clock.wall(), lease_seconds=lease_seconds)
    return 1000 * (time.perf_counter() - begun)


if __name__ == "__main__":
    main()
