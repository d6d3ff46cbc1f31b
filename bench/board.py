"""What the board and its scheduler cost: claims, ticks, commands, an idle daemon, a restart.

`board_claims` and `board_ticks` go through our own layers in this process; `board_daemon` and
`board_commands` start what a person starts.
"""

from collections.abc import Callable

import structlog
import trio

from bench import board_claims, board_commands, board_daemon, board_ticks
from bench.board_store import NOT_INSTALLED, Place, places, sync_seconds
from bench.table import Figure, print_figures


def measure(*, quick: bool, say: Callable[[str], None]) -> list[Figure]:
    """Run it, print it, and return the figures."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("error"))
    disk = [Figure.of("writing a page and syncing it, on this disk", sync_seconds(), "ms", 2)]
    print_figures("The disk below the board", disk)
    return [*disk, *_databases(quick=quick, say=say), *_processes(quick=quick, say=say)]


def _databases(*, quick: bool, say: Callable[[str], None]) -> list[Figure]:
    figures = []
    with places() as found:
        for place in found:
            mine = _database(place, quick=quick, say=say)
            print_figures(f"The board on {place.name}", mine)
            figures += mine
    if len(found) == 1:
        print(NOT_INSTALLED, flush=True)
    return figures


def _database(place: Place, *, quick: bool, say: Callable[[str], None]) -> list[Figure]:
    figures = board_claims.measure(place, quick=quick, say=say)
    figures += trio.run(board_ticks.measure, place, quick, say)
    return [figure.called(f"{place.name}: {figure.name}") for figure in figures]


def _processes(*, quick: bool, say: Callable[[str], None]) -> list[Figure]:
    daemon = board_daemon.measure(quick=quick, say=say)
    print_figures("The daemon", daemon)
    commands = board_commands.measure(quick=quick, say=say)
    print_figures("The command line, from its start to its end", commands)
    return daemon + commands
