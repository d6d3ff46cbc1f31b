"""Writes `docs/task-states.md` from the table of states: `python -m tests.core.scheduler.states_page`."""

from collections.abc import Iterator
from pathlib import Path

from scheduler.core.states import CLOSED, HELD, TABLE, Move, Status

FILE = Path(__file__).resolve().parents[3] / "docs" / "task-states.md"

MEANING = {
    Status.PENDING: "waits until an agent may begin",
    Status.CLAIMED: "an agent holds a claim and has written nothing yet",
    Status.WORKING: "the agent has written something",
    Status.REVIEW: "a final output is there; a check, an agent or a person looks at it",
    Status.DONE: "accepted; it stays so",
    Status.BLOCKED: "waits for a person, for a dependency or for an approval",
    Status.FAILED: "nothing comes of it, unless somebody tries again",
}
CAUSE = {
    Move.CLAIM: "an agent claims it, or the scheduler does for one it starts",
    Move.FIRST_WRITE: "the agent writes for the first time: a heartbeat, an output, a comment",
    Move.SUBMIT: "the agent hands in a final output",
    Move.RELEASE: "the agent gives it back",
    Move.EXPIRE: "the lease of a claim without a run has ended",
    Move.NEVER_STARTED: "it was claimed for a run that never began",
    Move.NO_RESULT: "the run ended and left nothing behind",
    Move.RECOVER: "the run stood still for too long and was stopped",
    Move.ACCEPT: "the output is good",
    Move.REWORK: "not good enough, and the run that made it still lives",
    Move.REWORK_LATER: "not good enough, and somebody has to begin anew",
    Move.BLOCK: "a question for a person, a dependency that failed, or a high-risk tool",
    Move.UNBLOCK: "answered, approved, or the dependency is tried again",
    Move.FAIL: "given up, cancelled, rejected, or no attempts are left",
    Move.RETRY: "somebody tries again, with all attempts before it",
}


def page() -> str:
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# The states of a task"
    yield ""
    yield "Made from the table in `scheduler/core/states.py`; a test compares the two. What is not in it is"
    yield "refused with `illegal_transition`."
    yield ""
    yield "```mermaid"
    yield "stateDiagram-v2"
    yield f"    [*] --> {Status.PENDING}"
    for status, row in TABLE.items():
        for goal in dict.fromkeys(row.values()):
            moves = ", ".join(move for move in row if row[move] is goal)
            yield f"    {status} --> {goal}: {moves}"
    yield f"    {Status.DONE} --> [*]"
    yield "```"
    yield ""
    yield "| state | meaning |"
    yield "|---|---|"
    for status in TABLE:
        yield f"| `{status}` | {MEANING[status]} |"
    yield ""
    yield "| from | to | by | when |"
    yield "|---|---|---|---|"
    for status, row in TABLE.items():
        for move, goal in row.items():
            yield f"| `{status}` | `{goal}` | {move} | {CAUSE[move]} |"
    yield ""
    yield f"Exactly one agent may write while a task is {_named(HELD)}. What is {_named(CLOSED)} may be"
    yield f"archived. A final output of a task that is `{Status.CLAIMED}` takes it through `{Status.WORKING}`"
    yield "in one step."


def _named(states: frozenset[Status]) -> str:
    return " or ".join(f"`{status}`" for status in TABLE if status in states)


if __name__ == "__main__":
    FILE.write_text(page(), encoding="utf-8")
