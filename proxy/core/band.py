"""The four priority bands, most urgent first."""

from enum import IntEnum


class Band(IntEnum):
    """A request's priority; a smaller number goes first."""

    URGENT = 0
    HIGH = 1
    NORMAL = 2
    LOW = 3

    @property
    def label(self) -> str:
        """The word that clients, metrics and logs use."""
        return self.name.lower()

    @classmethod
    def parse(cls, word: str) -> "Band":
        """The band a client asked for; NORMAL for a word that is none of the four (any case)."""
        return _BY_WORD.get(word.strip().lower(), cls.NORMAL)


_BY_WORD = {band.label: band for band in Band}
