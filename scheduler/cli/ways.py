"""The two ways to the board, with one face: its database, for operators; HTTP, for agents and others."""

import ipaddress
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from scheduler.blackboard.errors import BoardError
from scheduler.cli.located import Located, locate
from scheduler.cli.told import ToldError, wrong_usage
from scheduler.core.claims import ClaimToken
from scheduler.core.errors import Refused
from scheduler.verbs.outcomes import failure

if TYPE_CHECKING:
    from scheduler.cli.direct import DirectBoard
    from scheduler.cli.remote import RemoteBoard
    from scheduler.cli.upload import Upload

UNDER_A_CLAIM: Final = frozenset(
    {"claim", "claim-next", "release", "heartbeat", "output", "comment", "observe", "block", "fail"}
)
"""What a claim token allows. Everything else is asked without it."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who asks: a name, and a claim token if there is one."""

    name: str
    claim: ClaimToken | None = field(default=None, repr=False)
    only_claim: bool = False
    """a ticket's: an agent's run does not reach for what else lies about"""

    def claim_for(self, verb: str) -> ClaimToken | None:
        """The token, where this question may be asked with it; a ticket has nothing else to ask with."""
        return self.claim if verb in UNDER_A_CLAIM or self.only_claim else None


class Board(Protocol):
    """Can be asked."""

    def ask(
        self,
        verb: str,
        task: str | None,
        body: Mapping[str, object],
        credentials: Credentials,
        *,
        upload: "Upload | None" = None,
    ) -> Any:
        """The answer, as JSON. Raises ToldError for every other outcome."""

    def output_places(self, card: Mapping[str, Any]) -> list[str]:
        """Where each output of a card that was read in full is to be had: files, or addresses."""

    def short_output(
        self, card: Mapping[str, Any], index: int, most: int, credentials: Credentials
    ) -> bytes | None:
        """What the output at this place of the card's list says; None: more than `most` bytes, or not to be
        had soon."""

    def changes(self, credentials: Credentials) -> Iterator[list[Mapping[str, Any]]]:
        """Events from now on, as they happen, without end. Raises ToldError."""


def remote(url: str, environ: Mapping[str, str]) -> "RemoteBoard":
    """Over HTTP."""
    from scheduler.cli.remote import Address, RemoteBoard  # noqa: PLC0415 - half of the commands need no HTTP

    address = Address.of(url)
    given = environ.get("BLACKBOARD_ADMIN_TOKEN", "").strip() or None
    return RemoteBoard(address, given, lambda: _token_found(environ) if _is_here(address.host) else None)


@contextmanager
def direct(place: "Place") -> Iterator["DirectBoard"]:
    """On the database."""
    from scheduler.cli.direct import opened  # noqa: PLC0415 - an agent over HTTP needs no database

    with opened(place) as board:
        yield board


@dataclass(frozen=True, slots=True)
class Place:
    """A board's database and files."""

    url: str = field(repr=False)
    artifacts: Path
    may_create: bool
    located: Located

    @property
    def file(self) -> Path | None:
        """None: it is on a server."""
        file = _file(self.url)
        return file if isinstance(file, Path) else None


def find_place(url: str | None, environ: Mapping[str, str]) -> Place:
    """--db, else $BLACKBOARD_DB, else what the settings say. Raises ToldError for an address of no database.

    A board's files lie beside an SQLite file that was named here; else in the state directory.
    """
    located = locate(environ)
    named = url or environ.get("BLACKBOARD_DB", "").strip()
    if not named or _file(named) == _file(located.database_url):
        return Place(located.database_url, located.state_dir / "artifacts", may_create=True, located=located)
    if named.startswith(("postgresql://", "postgresql+psycopg://")):
        return Place(named, located.state_dir / "artifacts", may_create=True, located=located)
    file = _file(named)
    if not isinstance(file, Path):
        raise wrong_usage(
            "a database is sqlite:///PATH (four slashes for an absolute path) or postgresql://USER@HOST/NAME"
        )
    return Place(named, file.parent / "artifacts", may_create=file.parent.is_dir(), located=located)


def _file(url: str) -> Path | str:
    """The file that an address of SQLite's means; any other address as it is."""
    path = url.removeprefix("sqlite:///")
    if path in {url, "", ":memory:"} or path.startswith("~"):
        return url
    return Path(path).absolute()


def _token_found(environ: Mapping[str, str]) -> str | None:
    """The scheduler's own, for this machine alone: a mistyped address must not have it."""
    located = locate(environ)
    if located.admin_token:
        return located.admin_token
    with suppress(OSError, UnicodeError):
        return located.admin_token_file.read_text(encoding="ascii").strip() or None
    return None


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@contextmanager
def as_told() -> Iterator[None]:
    """The board's own errors as what is told to a shell."""
    try:
        yield
    except (Refused, BoardError) as error:
        told = failure(error)
        raise ToldError(told.code, told.message, told.outcome.exit_code) from error
