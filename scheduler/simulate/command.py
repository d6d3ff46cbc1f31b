"""`agent-scheduler simulate`: reads what is asked, lives the day, prints it."""

import sys
from pathlib import Path
from typing import Final

from scheduler.cli.answering import answer
from scheduler.cli.printing import folded, print_json, say, terminal_width
from scheduler.roster import load_roster
from scheduler.settings import Settings
from scheduler.simulate.copying import board_for
from scheduler.simulate.printing import as_json, as_text
from scheduler.simulate.result import Asked, Result, simulate
from scheduler.simulate.tasks import read_tasks
from shared import logs
from shared.errors import StartError

MOST_AGENTS: Final = 500
MOST_RPM: Final = 10_000.0
MOST_HOURS: Final = 31 * 24.0


def run(
    settings: Settings,
    *,
    agents: int | None,
    rpm: float,
    hours: float,
    tasks: Path | None,
    seed: int,
    in_json: bool,
) -> int:
    """Prints it; the exit code. Raises StartError."""

    def show() -> None:
        _check(agents, rpm, hours)
        arrivals = read_tasks(tasks) if tasks is not None else None
        result = simulated(settings, Asked(agents, rpm, hours, arrivals, seed))
        if in_json:
            print_json(as_json(result))
        else:
            width = terminal_width()
            say("\n".join(folded(line, width) for line in as_text(result).split("\n")))

    return answer(show, in_json=in_json)


def simulated(settings: Settings, asked: Asked) -> Result:
    """The day. Raises BoardError, and StartError for a wrong roster."""
    roster = load_roster(settings)
    # What the daemon would log in a day, it would log here in seconds.
    logs.configure(level="CRITICAL", fmt="console", stream=sys.stderr)
    with board_for(settings) as copied:
        return simulate(settings, roster, copied, asked)


def _check(agents: int | None, rpm: float, hours: float) -> None:
    """Raises StartError with every problem there is."""
    problems = []
    if agents is not None and not 1 <= agents <= MOST_AGENTS:
        problems.append(f"--agents is {agents}, expected a number from 1 to {MOST_AGENTS}")
    if not 1 <= rpm <= MOST_RPM:
        problems.append(f"--rpm is {rpm:g}, expected a number from 1 to {MOST_RPM:g}")
    if not 0 < hours <= MOST_HOURS:
        problems.append(f"--hours is {hours:g}, expected a number above 0, up to {MOST_HOURS:g}")
    if problems:
        raise StartError(*problems, exit_code=2)
