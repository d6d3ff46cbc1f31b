"""Single values that any process may ask for: numbers with bounds, names, addresses, directories.

A validator raises ``ValueError`` with what was expected; without words it means the words of ``Expect``.
"""

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

from shared.settings.declare import Expect


def _no_truth_value(value: object) -> object:
    """YAML's ``true`` would count as 1, and ``on`` is YAML for true."""
    if isinstance(value, bool):
        raise ValueError  # noqa: TRY004 - pydantic reports a ValueError and lets a TypeError through
    return value


_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"


def _host(text: str) -> str:
    name = text.lower().removesuffix(".")
    try:
        return str(ipaddress.ip_address(re.sub(r"^\[(.*)\]$", r"\1", name)))
    except ValueError:
        all_digits = name.rpartition(".")[2].isdigit()  # half an address: 127.1
        if all_digits or len(name) > 253 or not re.fullmatch(rf"{_LABEL}(\.{_LABEL})*", name):
            raise ValueError from None
        return name


def listed(value: object) -> object:
    """A comma-separated variable or a YAML list; a comma too many is no item."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


_URL = re.compile(
    r"(https?)://(\[[^\]]*\]|[^\[\]/:@?#\s\\]+)(?::([0-9]{1,5}))?((?:/[a-z0-9_~-][a-z0-9._~-]*)*)/*",
    re.IGNORECASE | re.ASCII,
)


def base_url(text: str) -> str:
    """Scheme, host and path without a slash at the end. What is refused are ways to send a key elsewhere."""
    match = _URL.fullmatch(text)
    if match is None:
        raise ValueError
    scheme, name, port, path = match.groups()
    if port is not None and not 1 <= int(port) <= 65535:
        raise ValueError
    host = _host(name)
    host = f"[{host}]" if ":" in host else host
    return f"{scheme.lower()}://{host}{f':{port}' if port else ''}{path}"


def absolute_path(value: object) -> Path:
    """``~`` is the home of the account."""
    if not isinstance(value, str | Path) or not str(value).strip() or not str(value).isprintable():
        raise ValueError
    try:
        return Path(value).expanduser().absolute()
    except RuntimeError as error:
        raise ValueError("a path without a ~: there is no such home") from error


Lower = BeforeValidator(lambda value: value.lower() if isinstance(value, str) else value)
Upper = BeforeValidator(lambda value: value.upper() if isinstance(value, str) else value)

Flag = Annotated[bool, Expect("true or false")]
Number = Annotated[float, BeforeValidator(_no_truth_value), Field(allow_inf_nan=False)]
Whole = Annotated[int, BeforeValidator(_no_truth_value)]
Port = Annotated[Whole, Field(ge=0, le=65535), Expect("a whole number from 0 to 65535")]
Count = Annotated[Whole, Field(ge=1, le=10**9), Expect("a whole number from 1 to 1000000000")]
Bytes = Annotated[Whole, Field(ge=1, le=2**40), Expect("a whole number of bytes above 0")]
Seconds = Annotated[Number, Field(ge=0, le=1e9), Expect("a number of seconds from 0 to 1000000000")]
SomeSeconds = Annotated[Number, Field(gt=0, le=1e9), Expect("a number of seconds above 0, up to 1000000000")]
Share = Annotated[Number, Field(ge=0, le=1), Expect("a share from 0 to 1")]
Host = Annotated[str, AfterValidator(_host), Expect("a host name or an IP address, without a port")]
Hosts = Annotated[tuple[Host, ...], BeforeValidator(listed), Expect("a list of host names")]
Directory = Annotated[Path, BeforeValidator(absolute_path), Expect("a directory")]
File = Annotated[Path, BeforeValidator(absolute_path), Expect("a file")]
Name = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"),
    Expect("a name of letters, digits, '.', '_' and '-', at most 64"),
]
LogLevel = Annotated[
    Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"],
    Upper,
    Expect("one of DEBUG, INFO, WARNING, ERROR, CRITICAL"),
]
LogFormat = Annotated[Literal["json", "console"], Lower, Expect("one of json, console")]
