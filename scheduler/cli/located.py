"""Where the board of this account is, and which rules go with it: the few settings that this command needs.

The scheduler's Settings say it, but reading them costs a tenth of a second, which nearly nobody needs: on
most command lines no variable of ours is set. Then what they would say is known beforehand, and stands here;
in all other cases they are asked. A test compares the two.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from scheduler.cli.told import ToldError

_OURS: Final = ("SCHEDULER_", "DATABASE_", "AUDIT_", "CREDENTIALS_DIRECTORY")
_HARMLESS: Final = "SCHEDULER_STATE_DIR"
_AT_HOME: Final = ".local/state/clawpace"


@dataclass(frozen=True, slots=True)
class Located:
    """What this command needs of the settings. The defaults are theirs."""

    state_dir: Path
    database_url: str = field(repr=False)
    admin_token: str = field(default="", repr=False)
    """'' if it is in the state directory"""
    high_risk: tuple[str, ...] = ("delete_file", "execute_code", "modify_database")
    max_attempts: int = 3
    pool_size: int = 10
    max_overflow: int = 20

    @property
    def admin_token_file(self) -> Path:
        """Where the daemon keeps the one that it made."""
        return self.state_dir / "scheduler-admin-token"


def locate(environ: Mapping[str, str]) -> Located:
    """Raises ToldError (exit code 2) for wrong settings, with every problem there is."""
    return _without_settings(environ) or _by_settings(environ)


def _without_settings(environ: Mapping[str, str]) -> Located | None:
    if any(name.startswith(_OURS) and name != _HARMLESS for name in environ):
        return None
    home = environ.get("HOME", "")
    offered = environ.get("STATE_DIRECTORY", "").split(":")[0] or f"{home}/{_AT_HOME}"
    place = environ.get(_HARMLESS, offered)
    if not place.startswith("/") or not place.isprintable():
        return None
    return Located(Path(place), f"sqlite:///{Path(place)}/blackboard.db")


def _by_settings(environ: Mapping[str, str]) -> Located:
    from scheduler.settings import Settings  # noqa: PLC0415 - see above
    from shared.errors import StartError  # noqa: PLC0415
    from shared.settings import load  # noqa: PLC0415

    file = environ.get("SCHEDULER_CONFIG")
    try:
        settings = load(Settings, environ, Path(file) if file else None, named="SCHEDULER_CONFIG")
    except StartError as error:
        raise ToldError("invalid_settings", "; ".join(error.lines), 2) from error
    return Located(
        state_dir=settings.state_dir,
        database_url=settings.effective_database_url,
        admin_token=settings.admin_token.get_secret_value(),
        high_risk=settings.high_risk_tools if settings.require_approval_for_high_risk else (),
        max_attempts=settings.max_attempts,
        pool_size=settings.database_pool_size,
        max_overflow=settings.database_max_overflow,
    )
