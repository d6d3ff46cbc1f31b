"""The address of the board's database. It may hold a password: shown without, whole for the driver only."""

import re
from typing import Annotated, Final
from urllib.parse import unquote

from pydantic import AfterValidator, SecretStr

from shared.settings import Expect, Shown

# A file, and no pattern of options behind it: a board in memory would be gone with the process, and every
# connection would see another one.
_SQLITE: Final = re.compile(r"sqlite:///(?!:memory:$|~)[^?\r\n\0]*[^?/\r\n\0]")
_POSTGRESQL: Final = re.compile(
    r"postgresql(?:\+psycopg)?://"
    r"(?:[^\s/?#@]*@)?"  # user and password
    r"(?:\[[0-9A-Fa-f:.]+\]|[^\s/?#@:\[\]]*)(?::[0-9]{1,5})?"  # none: the socket of this machine
    r"/[^\s/?#]+(?:\?[^\s#]*)?"
)
# Greedy up to the last @: whoever forgot to encode one in the password must not read half of it here.
_USER_AND_PASSWORD: Final = re.compile(r"(?<=://)([^:/@]*):(.*)@", re.DOTALL)


def _known(url: SecretStr) -> SecretStr:
    """Empty: the default. An address that nobody knows is not looked at any further."""
    text = url.get_secret_value().strip()
    if text and not (_SQLITE.fullmatch(text) or _POSTGRESQL.fullmatch(text)):
        raise ValueError
    return SecretStr(text)


def without_password(url: str) -> str:
    """As people may see it. The query is left out: drivers take passwords there too."""
    return re.sub(r"\?.*", "?…", _USER_AND_PASSWORD.sub(r"\1:****@", url))


def passwords_in(url: str) -> tuple[str, ...]:
    """The password, as it is written and as the driver will send it; nothing if there is none."""
    found = _USER_AND_PASSWORD.search(url)
    return (found[2], unquote(found[2])) if found else ()


DatabaseUrl = Annotated[
    SecretStr,
    AfterValidator(_known),
    Expect(
        "sqlite:///PATH (four slashes for an absolute path) or postgresql://USER:PASSWORD@HOST/DATABASE, "
        "special characters in the password percent-encoded",
        secret=True,
    ),
    Shown(lambda url: without_password(url.get_secret_value())),
]
