"""Who asks something of the board. Whoever carries the question (HTTP, the command line) finds out who it is;
what each may do stands in the table of verbs."""

from dataclasses import dataclass

from scheduler.core.claims import ClaimToken


@dataclass(frozen=True, slots=True)
class Operator:
    """Holds the database, or the admin token: may do everything, under this name."""

    name: str


@dataclass(frozen=True, slots=True)
class Holder:
    """An agent under its claim: writes on its own task alone, and claims further ones as itself."""

    token: ClaimToken


@dataclass(frozen=True, slots=True)
class Reader:
    """Anybody."""


Caller = Operator | Holder | Reader
