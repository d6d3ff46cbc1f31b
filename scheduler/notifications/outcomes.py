"""What becomes of a letter."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Told:
    """Somebody has it, and has said so."""


@dataclass(frozen=True, slots=True)
class Later:
    """Nobody there, no time, or no answer: it may work later. `error` is for people, and holds no secret."""

    error: str


@dataclass(frozen=True, slots=True)
class Never:
    """Refused, and it would be again: the address, the signature or the message itself is wrong."""

    error: str


Outcome = Told | Later | Never
