"""Values and names as an operator may see them: on one line, and without what is secret or looks like it."""

import re

MAX_SHOWN = 80  # characters of a wrong value: enough to recognise it, and still one line

# What is hidden where no secret is expected: the user part and the query of a URL, known prefixes of keys,
# long runs of hexadecimals, and long words of mixed characters.
_SECRET_LIKE = re.compile(
    r"(?<=://).*(?=@)|(?<=\?).+|(?:nvapi-|sk-|ghp_|xox[bp]-)\S+|[0-9A-Fa-f]{32,}"
    r"|(?=[\w-]*[0-9])(?=[\w-]*[a-z])(?=[\w-]*[A-Z])[\w-]{20,}",
    re.DOTALL,
)
_KINDS: dict[type, str] = {type(None): "empty", dict: "a mapping", list: "a list", tuple: "a list"}


def masked(secret: str) -> str:
    """At most four characters, and none of a short one, where four would be a good part of it."""
    if not secret:
        return ""
    return secret[:4] + "****" if len(secret) > 12 and secret[:4].isprintable() else "****"


def names_a_secret(name: str) -> bool:
    """Whether something of this name is likely to be secret."""
    return re.search(r"key|token|secret|pass|cred|auth", name, re.IGNORECASE) is not None


def readable(name: object) -> str:
    """A name as the operator wrote it; in quotes where it would not be readable."""
    text = _hidden(str(name))
    return text if text.isprintable() and text.strip() else repr(text)


def show(value: object, *, secret: bool = False) -> str:
    """A value in a problem line. Lists and mappings are named, not shown: nobody knows what is in them."""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str | int | float):
        return _KINDS.get(type(value), f"a {type(value).__name__}")
    if isinstance(value, int) and value.bit_length() > 1000:
        return "a number of far too many digits"  # which Python refuses to print
    if secret:
        return masked(str(value)) or "empty"
    text = _hidden(str(value))
    shown = text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…"
    return repr(shown) if isinstance(value, str) else shown


def _hidden(text: str) -> str:
    # To search a very long text takes long; cut to what is shown, it could end in half a key.
    return _SECRET_LIKE.sub(lambda found: masked(found[0]), text[:1000])
