"""The token that an operator shows to change anything: set by somebody, or made at the first start and kept.

The rule: it is never logged, and its file is either whole or not there.
"""

import os
import secrets
import stat
from pathlib import Path
from typing import Final

import structlog

from shared.errors import StartError
from shared.files import sync_directory
from shared.settings.keys import read_key

_TOKEN_BYTES: Final = 32
_PRIVATE_FILE: Final = 0o600
_log = structlog.get_logger()


def admin_token(configured: str, file: Path) -> str:
    """The configured token, else the one in ``file``, which is made where it is missing.

    Raises StartError, exit code 1, where the file cannot be read or written, or holds no token.
    """
    return configured or _read(file) or _make(file)


def _read(file: Path) -> str | None:
    """None where there is no file."""
    try:
        mode = stat.S_IMODE(file.stat().st_mode)
        token = read_key(file)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        obstacle = error if isinstance(error, OSError) else error.__cause__
        if isinstance(obstacle, OSError):
            raise StartError(f"cannot read the admin token file {file}: {obstacle.strerror}") from error
        raise StartError(
            f"the admin token file {file} holds no token; remove it, and one is made at the next start"
        ) from error
    if mode & 0o077:
        _log.warning("admin_token_open_to_others", path=str(file), hint=f"chmod 600 {file}")
    return token


def _make(file: Path) -> str:
    """A new token, unless another process was quicker: then its one.

    Written under a name of its own first, then linked: a link is made in one step and never replaces a file,
    so nobody reads half a token, and two that start together end up with the same one.
    """
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    draft = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    try:
        try:
            _write(draft, token)
            os.link(draft, file)
        finally:
            draft.unlink(missing_ok=True)
        sync_directory(file.parent)
    except FileExistsError:
        return _read(file) or _make(file)
    except OSError as error:
        raise StartError(f"cannot write the admin token file {file}: {error.strerror}") from error
    _log.info("admin_token_made", path=str(file))
    return token


def _write(file: Path, token: str) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    with os.fdopen(os.open(file, flags, _PRIVATE_FILE), "w", encoding="ascii") as stream:
        stream.write(f"{token}\n")
        stream.flush()
        os.fsync(stream.fileno())
