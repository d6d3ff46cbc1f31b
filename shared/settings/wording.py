"""The forms of a problem line, the same whichever place the value came from."""

import re
from collections.abc import Mapping
from difflib import get_close_matches

from shared.settings.declare import Where
from shared.settings.mask import names_a_secret, readable, show

_PLAIN = re.compile(r"[-+]?[0-9]{1,9}(?:\.[0-9]{1,9})?|true|false|yes|no|on|off", re.IGNORECASE)


def wrong(name: str, shown: str, expected: str) -> str:
    """Whose value, which value, what was expected."""
    return f"{name} is {shown}, expected {expected}"


def unknown(name: str, word: str, value: object, candidates: Mapping[str, str]) -> str:
    """``word`` is compared with the candidates, which map what people write to what is right."""
    close = get_close_matches(word, candidates, n=1, cutoff=0.7)
    meant = candidates[close[0]] if close else ""
    hint = f"did you mean {meant}?" if close else "there is no such setting"
    # A text of which nobody knows what it was meant for may well be a key; a number or a truth value is none.
    secret = names_a_secret(word + meant) or not (close or _PLAIN.fullmatch(str(value)))
    return f"{name} (set to {show(value, secret=secret)}) is unknown: {hint}"


def written(where: Where) -> str:
    """``keys[0].rate_rpm``"""
    text = ""
    for part in where:
        text += f"[{part}]" if isinstance(part, int) else ("." if text else "") + readable(part)
    return text
