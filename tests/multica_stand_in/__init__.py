"""A stand-in for Multica: the command `multica` and the server behind it, for tests of the scheduler.

The rule: it does what Multica's command line and server are documented to do, the awkward things too. A
listing has no descriptions and no more than PAGE issues; a change of status without `--no-start` starts a run
of Multica's own, and so does a comment whose first word is not `/note`. Flags that the real one does not have
are refused.

The command is a real program, started anew for each question. The server is a file that these processes and
the test share.

    multica = StandIn(tmp_path)
    issue = multica.add("Write the minutes", assignee=UUID)
    source = Multica(multica.command, multica.environ, "", roster)
    ...
    assert multica.runs() == []
"""

import sys
from pathlib import Path
from typing import Any

from tests.multica_stand_in import state

PROGRAM = """\
#!{python} -IS
import sys

sys.path.insert(0, {root!r})
from tests.multica_stand_in.command import main

main({directory!r}, sys.argv[1:])
"""
PAGE = state.PAGE


class StandIn:
    """What a test does to the server, and what it sees of it. The files in `directory` are all there is."""

    def __init__(self, directory: Path) -> None:
        self._directory = str(directory)
        self.program = directory / "multica"
        self.command = (sys.executable, "-I", "-S", str(self.program))
        self.environ = {"PATH": "/usr/bin:/bin", "HOME": str(directory)}
        root = str(Path(__file__).parents[2])
        self.program.write_text(
            PROGRAM.format(python=sys.executable, root=root, directory=self._directory), encoding="utf-8"
        )
        self.program.chmod(0o755)

    # -- what is there ----------------------------------------------------------------------------------

    def add(self, title: str, *, assignee: str | None, status: str = "todo", **more: Any) -> str:
        """A new issue; its id. `more` are fields of the API's."""
        with state.changing(self._directory) as server:
            return state.add(server, title, assignee, status, more)

    def add_many(self, count: int, *, assignee: str) -> None:
        """So many issues at once, with descriptions in the listing, so that nobody asks for each."""
        with state.changing(self._directory) as server:
            for number in range(count):
                state.add(server, f"Issue {number}", assignee, "todo", {"description": "All of it."})
            server["described"] = True

    def change(self, issue_id: str, **fields: Any) -> None:
        """Somebody else changes it."""
        with state.changing(self._directory) as server:
            server["issues"][issue_id].update(fields)

    def remove(self, issue_id: str) -> None:
        """Somebody deletes it."""
        with state.changing(self._directory) as server:
            del server["issues"][issue_id]

    # -- faults -----------------------------------------------------------------------------------------

    def fail(self, code: int = 0, said: str = "", *, only: str = "") -> None:
        """Each command ends with this exit code, and does nothing; 0: no more. `only`: those of this verb."""
        with state.changing(self._directory) as server:
            server["fails"] = [code, said, only]

    def garble(self, output: str | None) -> None:
        """Each command prints this instead of its answer; None: no more."""
        with state.changing(self._directory) as server:
            server["garbage"] = output

    def slow(self, seconds: float) -> None:
        """Each command takes so long, after it has done what it does."""
        with state.changing(self._directory) as server:
            server["slow"] = seconds

    def flood(self, megabytes: int) -> None:
        """Each command prints so much of an answer."""
        with state.changing(self._directory) as server:
            server["flood"] = megabytes

    def bare(self) -> None:
        """Listings are arrays, which do not say what follows."""
        with state.changing(self._directory) as server:
            server["bare"] = True

    def never_ending(self) -> None:
        """Listings say that more follows, always, and give the first page again."""
        with state.changing(self._directory) as server:
            server["endless"] = True

    # -- what has happened ------------------------------------------------------------------------------

    def issue(self, issue_id: str) -> dict[str, Any]:
        """As it stands."""
        with state.changing(self._directory) as server:
            found: dict[str, Any] = server["issues"][issue_id]
            return found

    def comments(self, issue_id: str) -> list[str]:
        """What was said beside it, oldest first."""
        with state.changing(self._directory) as server:
            return [comment["content"] for comment in server["comments"] if comment["issue"] == issue_id]

    def runs(self) -> list[str]:
        """The issues for which Multica has started a run of its own: none, if all is well."""
        with state.changing(self._directory) as server:
            return list(server["runs"])

    def calls(self) -> list[list[str]]:
        """The arguments of every command, oldest first."""
        with state.changing(self._directory) as server:
            return [list(argv) for argv in server["calls"]]
