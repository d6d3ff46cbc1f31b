"""Keys and tokens: as values, and in files of their own. No error here says what is in a file."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, InstanceOf, SecretStr, ValidationInfo

from shared.settings.declare import Expect
from shared.settings.values import absolute_path

_WORDS = "one key: printable characters without spaces, and without the word Bearer"


def _clean(text: str) -> str:
    """Copied keys bring spaces and newlines along; inside, they would break or forge the header."""
    key = text.strip()
    if re.fullmatch(r"[!-~]{0,4096}", key) is None:
        raise ValueError(_WORDS)
    return key


def read_key(path: Path) -> str:
    """The key in a file of its own, or ``ValueError`` with what was expected."""
    try:
        key = _clean(path.read_bytes().decode("ascii"))
    except OSError as error:
        raise ValueError(f"a readable file with the key ({error.strerror})") from error
    except ValueError:
        key = ""
    if not key:
        raise ValueError(f"a file with nothing but {_WORDS}")
    return key


@dataclass(frozen=True)
class KeyFile:
    """A file and the key that was in it when the settings were read."""

    path: Path
    key: SecretStr

    def __str__(self) -> str:
        return str(self.path)


def _key_file(value: object, info: ValidationInfo) -> KeyFile:
    """The file of what is not ``enabled`` is not read, and its key is empty."""
    path = absolute_path(value)
    return KeyFile(path, SecretStr(read_key(path) if info.data.get("enabled", True) else ""))


Key = Annotated[
    SecretStr,
    AfterValidator(lambda value: SecretStr(_clean(value.get_secret_value()))),
    Expect(_WORDS, secret=True),
]
NamedFile = Annotated[InstanceOf[KeyFile], BeforeValidator(_key_file), Expect("a file with a key in it")]
