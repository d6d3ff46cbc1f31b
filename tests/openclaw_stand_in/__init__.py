"""A stand-in for OpenClaw: the command `openclaw`, and the gateway behind it, for tests of the scheduler.

The rule: it does what 2026.9.6 was seen to do, the awkward things too. It keeps its word on idempotency only
until `come_back`, forgets runs that it had accepted but not begun, takes up the interrupted ones under ids
of its own, and cuts what the real one cuts. `tests/integration/scheduler/test_gateway.py` makes the same
claims about both.

The command is a real program, started anew for each question as the real one is, in some 40 ms. The gateway
is a file that these processes and the test share: `state` says what is in it.

    stand_in = StandIn(tmp_path)
    stand_in.script("T-1", ends="failed", error="⚠️ API rate limit reached.")
    runner = OpenClawRunner(Gateway(stand_in.command, stand_in.environ))
    ...
    assert stand_in.starts_of("T-1.1") == 1
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.openclaw_stand_in import runs, state, workboard

PROGRAM = """\
#!{python} -IS
import sys

sys.path.insert(0, {root!r})
from tests.openclaw_stand_in.command import main

main({directory!r}, sys.argv[1:])
"""


class Start(NamedTuple):
    """A run that was begun."""

    run_id: str
    session_key: str
    agent: str
    message: str
    model: str


class StandIn:
    """What a test does to the gateway, and what it sees of it. The files in `directory` are all there is."""

    def __init__(
        self,
        directory: Path,
        *,
        agents: Sequence[str] = (),
        providers: Sequence[str] = ("nvidia", "nvidia-urgent", "nvidia-high", "nvidia-low"),
    ) -> None:
        """`agents`: only these exist; none: any does. All of them use `state.MODEL` of the first provider."""
        self._directory = str(directory)
        self.program = directory / "openclaw"
        self.command = (sys.executable, "-I", "-S", str(self.program))
        self.environ = {"PATH": f"{directory}:/usr/bin:/bin", "HOME": str(directory)}
        root = str(Path(__file__).parents[2])
        self.program.write_text(
            PROGRAM.format(python=sys.executable, root=root, directory=self._directory), encoding="utf-8"
        )
        self.program.chmod(0o755)
        with state.changing(self._directory) as gateway:
            gateway.update(agents=list(agents), providers=list(providers))

    # -- what will happen -----------------------------------------------------------------------------

    def script(
        self,
        task: str = "",
        *,
        ends: str = "ok",
        answer: str = "Done.",
        error: str = "⚠️ LLM request failed.",
        after_looks: int = 1,
        begins: bool = True,
        crash: bool = False,
        spawn: Sequence[str] = (),
    ) -> None:
        """What becomes of runs whose id begins with `task`; the latest script that fits counts.

        `ends` is `ok`, `failed`, or `never`: then it runs until it is ended. `after_looks`: so many lists of
        all sessions show it running. Not `begins`: accepted, no more. `crash`: the command is killed once the
        start is recorded, before it answers. `spawn`: the agent is this program, which gets the prompt on its
        stdin; its exit code says how the run ends, its stdout is the answer.
        """
        plan = {
            "task": task,
            "ends": "never" if spawn else ends,
            "answer": answer,
            "error": error,
            "looks": after_looks,
            "begins": begins,
            "crash": crash,
            "spawn": list(spawn),
        }
        with state.changing(self._directory) as gateway:
            gateway["plans"].insert(0, plan)

    def finish(self, run_id: str, answer: str = "Done.") -> None:
        """That run ends well, now."""
        with state.changing(self._directory) as gateway:
            runs.end(gateway, state.session_of(gateway, run_id), "done", answer)

    def fail(self, run_id: str, error: str) -> None:
        """That run fails, now."""
        with state.changing(self._directory) as gateway:
            runs.end(gateway, state.session_of(gateway, run_id), "failed", error)

    def add_card(self, title: str, **card: Any) -> str:
        """A card on the WorkBoard, with these fields of a real one; its id."""
        with state.changing(self._directory) as gateway:
            return workboard.add(gateway, {"title": title, **card})

    def add_cards(self, count: int, agent: str) -> None:
        """So many at once."""
        with state.changing(self._directory) as gateway:
            for number in range(count):
                workboard.add(gateway, {"title": f"Card {number}", "agentId": agent})

    def change_card(self, card_id: str, **fields: Any) -> None:
        """Somebody changes it by hand, in the dashboard."""
        with state.changing(self._directory) as gateway:
            gateway["cards"][card_id].update(fields)

    def remove_card(self, card_id: str) -> None:
        """Somebody deletes it."""
        with state.changing(self._directory) as gateway:
            del gateway["cards"][card_id]

    def card(self, card_id: str) -> dict[str, Any]:
        """As it stands, its claim's token included."""
        with state.changing(self._directory) as gateway:
            card: dict[str, Any] = gateway["cards"][card_id]
            return card

    def person_talks(self, agent: str) -> None:
        """Somebody says something to the agent, in its main session."""
        with state.changing(self._directory) as gateway:
            session = state.open_session(gateway, f"agent:{agent}:main", agent)
            session.update(status="done", lastInteractionAt=state.now_ms())

    # -- faults ---------------------------------------------------------------------------------------

    def go_down(self) -> None:
        """The gateway is killed, as by a power cut, and so are the agents."""
        with state.changing(self._directory) as gateway:
            runs.lose(gateway)

    def come_back(self) -> None:
        """It starts again: with its sessions, without its memory of keys."""
        with state.changing(self._directory) as gateway:
            gateway.update(down=False, known={})

    def slow(self, seconds: float) -> None:
        """Each command takes so long, after it has done what it does."""
        with state.changing(self._directory) as gateway:
            gateway["slow"] = seconds

    def switch_workboard(self, how: str) -> None:
        """`on`, as it is; else one of `workboard.OFF`. The real one comes `never on`."""
        with state.changing(self._directory) as gateway:
            gateway["workboard"] = how

    def garble(self, output: str | None = "Segmentation fault\n") -> None:
        """Each command prints this instead of its answer, after it has done what it does; None: no more."""
        with state.changing(self._directory) as gateway:
            gateway["garbage"] = output

    # -- what has happened ----------------------------------------------------------------------------

    def starts(self) -> list[Start]:
        """Every run that was begun, oldest first; one that is begun twice is there twice."""
        with state.changing(self._directory) as gateway:
            return [Start(*start) for start in gateway["starts"]]

    def starts_of(self, run_id: str) -> int:
        """How often a run was begun under that key: more than once is what must not be."""
        return sum(start.run_id == run_id for start in self.starts())

    def calls(self, method: str = "") -> list[tuple[str, dict[str, Any]]]:
        """What was asked of the gateway, oldest first; only that method, if given."""
        with state.changing(self._directory) as gateway:
            return [(name, params) for name, params in gateway["calls"] if method in {"", name}]

    def session(self, key: str) -> dict[str, Any]:
        """That session, as it stands; empty if there is none."""
        with state.changing(self._directory) as gateway:
            session: dict[str, Any] = gateway["sessions"].get(key, {})
            return session
