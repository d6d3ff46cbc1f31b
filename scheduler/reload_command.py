"""`agent-scheduler reload`: has the daemon that runs read the roster again."""

from typing import Final

from scheduler.cli.printing import clean
from scheduler.running_daemon import NoDaemonError, ask
from scheduler.settings import Settings
from shared.errors import StartError

_SECONDS: Final = 30.0
_OK: Final = 200
_INVALID: Final = 422
_FEW: Final = 6
"""so many agents are named, more are counted"""


def reload(settings: Settings) -> str:
    """What to tell the operator. Raises StartError, with every problem where the roster is wrong."""
    try:
        status, said = ask(
            settings, "POST", "/api/daemon/reload", seconds=_SECONDS, token=_admin_token(settings)
        )
        if status == _OK:
            file, agents, ids = said["file"], said["agents"], said["ids"]
            return clean(f"{file}: {', '.join(ids) if 0 < agents <= _FEW else f'{agents} agents'}")
        problems = str(said["error"]["message"]).splitlines()
    except NoDaemonError as error:
        raise StartError(str(error)) from error
    except (LookupError, TypeError) as error:
        raise StartError("what answers in the scheduler's place is not understood") from error
    raise StartError(*problems, exit_code=2 if status == _INVALID else 1)


def _admin_token(settings: Settings) -> str:
    given = settings.admin_token.get_secret_value()
    if given:
        return given
    file = settings.state_dir / "scheduler-admin-token"
    try:
        return file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeError) as error:
        raise StartError(f"cannot read the admin token file {file}: {error}") from error
