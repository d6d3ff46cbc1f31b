"""How long something lasts, in words, and as people write it down."""

import re
from typing import Final

_WRITTEN: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)\s*([smhd])")
_UNITS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def in_words(seconds: float) -> str:
    """`2 d`, `3 h`, `40 min`, `5 s`: in the largest unit that there are two of."""
    whole = max(0, int(seconds))
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if whole >= 2 * size:
            return f"{whole // size} {unit}"
    return f"{whole} s"


def parse_duration(text: str) -> float | None:
    """`90s`, `30m`, `2h`, `1.5d` in seconds; None for anything else."""
    match = _WRITTEN.fullmatch(text.strip())
    return None if match is None else float(match[1]) * _UNITS[match[2]]
