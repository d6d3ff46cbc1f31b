"""The options that every command has, before and after its name, and what they lead to.

A command is a function whose first argument is a `Line`; `on_the_line` gives its command line the shared
options and hands it the Line that they make. Agents write them in both places, so both count, and what
stands after the command's name wins.
"""

import functools
import getpass
import inspect
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from scheduler.cli.ticket import Ticket, read_ticket
from scheduler.cli.told import ToldError, wrong_usage
from scheduler.cli.ways import Board, Credentials, Place, direct, find_place, remote
from scheduler.core.claims import ClaimToken, parse_token
from scheduler.core.errors import Refused

if TYPE_CHECKING:
    from scheduler.cli.upload import Upload

_PANEL: Final = "The board, on every command"

Db = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="The board's database; else $BLACKBOARD_DB, else the settings.",
        rich_help_panel=_PANEL,
    ),
]
Url = Annotated[
    str | None,
    typer.Option(
        metavar="URL", help="The scheduler's address, in place of a database.", rich_help_panel=_PANEL
    ),
]
TicketFile = Annotated[
    str | None,
    typer.Option(
        "--ticket", metavar="FILE", help="What the scheduler wrote for a run.", rich_help_panel=_PANEL
    ),
]
ClaimText = Annotated[
    str | None,
    typer.Option("--claim", metavar="TOKEN", help="A claim; else $BLACKBOARD_CLAIM.", rich_help_panel=_PANEL),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON value.", rich_help_panel=_PANEL)]


@dataclass(frozen=True, slots=True)
class Options:
    """As given, on one side of the command's name."""

    db: str | None = None
    url: str | None = None
    ticket: str | None = None
    claim: str | None = field(default=None, repr=False)
    as_json: bool = False

    def over(self, other: "Options") -> "Options":
        """What is given here, and where nothing is, there."""
        return Options(*(getattr(self, each.name) or getattr(other, each.name) for each in fields(self)))


class Line:
    """One command line: which board is meant, who speaks, how to answer."""

    def __init__(self, options: Options, environ: Mapping[str, str]) -> None:
        self._options = options
        self._environ = environ
        self.as_json = options.as_json
        self._ticket: Ticket | None = None
        if options.db is not None and (options.ticket or options.url) is not None:
            raise wrong_usage("--db leads to a database, --url and --ticket to the scheduler: one of them")
        if options.ticket is not None:
            self._ticket = read_ticket(Path(options.ticket))

    @property
    def has_claim(self) -> bool:
        """Somebody speaks under a claim, so what it is about may be left out."""
        return self._given_claim is not None

    @property
    def name(self) -> str:
        """How whoever types is called on the board."""
        if self._ticket:
            return self._ticket.agent
        try:
            return getpass.getuser()
        except (OSError, KeyError):  # an account without a name
            return "operator"

    @property
    def is_remote(self) -> bool:
        """Over HTTP."""
        return self._ticket is not None or self._options.url is not None

    def task(self, given: str | None) -> str:
        """The task that is meant: the one named, else the ticket's, else the claim's."""
        if given is not None:
            return given
        if self._ticket is not None:
            return self._ticket.task
        token = self._given_claim
        if token is None:
            raise wrong_usage("which task? Name its id, or use a ticket or a claim token")
        return token.task

    def credentials(self, task: str | None, *, ambient: bool = True) -> Credentials:
        """Who asks about this task. A claim in the environment speaks for its own task alone: whoever
        exported it an hour ago means the task that he names now. Not `ambient`: it does not speak at all."""
        explicit = self._options.claim or (self._ticket.claim if self._ticket else None)
        token = self._given_claim if ambient or explicit is not None else None
        if explicit is None and token is not None and task not in {None, token.task}:
            token = None
        return Credentials(self.name, token, only_claim=self._ticket is not None)

    @property
    def _given_claim(self) -> ClaimToken | None:
        text = self._options.claim or (self._ticket.claim if self._ticket else None)
        where = ""
        if text is None:
            text, where = self._environ.get("BLACKBOARD_CLAIM", "").strip(), "$BLACKBOARD_CLAIM: "
        try:
            return parse_token(text) if text else None
        except Refused as error:
            raise ToldError(error.code, f"{where}{error.message}", 2) from error

    @contextmanager
    def board(self) -> Iterator[Board]:
        """The board that is meant, open. Raises ToldError."""
        if self.is_remote:
            url = self._options.url or (self._ticket.url if self._ticket else "")
            yield remote(url, self._environ)
            return
        with direct(self.place()) as board:
            yield board

    def place(self) -> Place:
        """The database that is meant. Raises ToldError where an address is."""
        if self.is_remote:
            raise wrong_usage("that is done on the database: say --db, or neither --url nor --ticket")
        return find_place(self._options.db, self._environ)

    @property
    def environ(self) -> Mapping[str, str]:
        """Of this process."""
        return self._environ

    def ask(
        self,
        verb: str,
        task: str | None,
        body: Mapping[str, object],
        *,
        ambient: bool = True,
        upload: "Upload | None" = None,
    ) -> Any:
        """One question, one answer. Not `ambient`: without the claim of the environment."""
        with self.board() as board:
            return board.ask(verb, task, body, self.credentials(task, ambient=ambient), upload=upload)


def shared_options(context: typer.Context, options: Options) -> None:
    """Remember those that stood before the command's name."""
    context.obj = options


def on_the_line(command: Callable[..., None]) -> Callable[..., None]:
    """`command`, with the options that all commands share."""
    signature = inspect.signature(command, eval_str=True)
    own = list(signature.parameters.values())[1:]

    @functools.wraps(command)
    def run(context: typer.Context, **given: Any) -> None:
        after = Options(*(given.pop(parameter.name) for parameter in _SHARED))
        command(Line(after.over(context.obj or Options()), os.environ), **given)

    parameters = [_CONTEXT, *own, *_SHARED]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # typer reads it
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def _parameter(name: str, annotation: object, default: object) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


_CONTEXT: Final = inspect.Parameter(
    "context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context
)
_SHARED: Final = (
    _parameter("db", Db, None),
    _parameter("url", Url, None),
    _parameter("ticket", TicketFile, None),
    _parameter("claim_token", ClaimText, None),
    _parameter("as_json", AsJson, False),
)
