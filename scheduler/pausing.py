"""`agent-scheduler pause` and `resume`: written on the board, where the daemon of now or later sees it."""

from getpass import getuser
from math import inf

from scheduler.blackboard.errors import BoardError
from scheduler.blackboard.opening import open_board
from scheduler.core.durations import parse_duration
from scheduler.core.errors import Refused
from scheduler.core.snapshot import EVERYBODY
from scheduler.core.task import agent_name
from scheduler.settings import Settings
from shared import clock
from shared.errors import StartError

LONGEST_SECONDS = 10 * 366 * 86_400.0
"""As over HTTP: longer is for ever, which has a way of its own to be said."""


def pause_for(settings: Settings, agent: str | None, duration: str | None) -> str:
    """What to tell the operator. Raises StartError."""
    until = inf if duration is None else clock.wall() + seconds(duration)
    _write(settings, agent, until)
    end = "until it is resumed" if duration is None else f"until {clock.rfc3339(until)}"
    return f"{agent or 'every agent'} is paused {end}"


def resume(settings: Settings, agent: str | None) -> str:
    """What to tell the operator. Raises StartError."""
    _write(settings, agent, None)
    return f"{agent or 'every agent'} may work again"


def seconds(text: str) -> float:
    """`90s`, `30m`, `2h`, `1.5d`, or a plain number of seconds."""
    found = parse_duration(text) or parse_duration(f"{text}s")
    if found is None or not 0 < found <= LONGEST_SECONDS:
        raise StartError(
            f"--for is {text!r}; expected a duration such as 90s, 30m, 2h or 1d, ten years at most",
            exit_code=2,
        )
    return found


def _write(settings: Settings, agent: str | None, until: float | None) -> None:
    try:
        name = EVERYBODY if agent is None else agent_name(agent)
        store = open_board(settings)
        try:
            store.set_pause(name, until, who=getuser(), now=clock.wall())
        finally:
            store.close()
    except Refused as refusal:
        raise StartError(refusal.message, exit_code=2) from refusal
    except BoardError as error:
        raise StartError(str(error)) from error
