"""What a process may find around it: a directory for its state, and its secrets in files of their own."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from shared.settings.declare import Surroundings
from shared.settings.keys import read_key
from shared.settings.mask import show
from shared.settings.values import absolute_path
from shared.settings.wording import wrong

STATE_DIR_AT_HOME: Final = Path(".local/state/clawpace")


def find_state_dir(around: Surroundings, environ: Mapping[str, str]) -> None:
    """The directory that systemd offers, else the home's."""
    home = environ.get("HOME") or "~"
    offered = environ.get("STATE_DIRECTORY", "").split(":")[0]  # systemd lists several with colons
    around.defaults["state_dir"] = offered or f"{home}/{STATE_DIR_AT_HOME}"


def find_key(
    around: Surroundings, environ: Mapping[str, str], *, key: str, variable: str, credential: str
) -> None:
    """The nearest wins: the variable itself, the file that ``<variable>_FILE`` names, systemd's credential
    (``credential`` is its name in ``LoadCredential=``)."""
    if environ.get(variable, "").strip():
        return
    if named := environ.get(f"{variable}_FILE"):
        _take(around, key, f"{variable}_FILE", named)
    elif directory := environ.get("CREDENTIALS_DIRECTORY"):
        # A directory that systemd made, perhaps with other credentials only: no file is no problem.
        _take(around, key, f"$CREDENTIALS_DIRECTORY/{credential}", f"{directory}/{credential}", may_lack=True)


def _take(around: Surroundings, key: str, named: str, file: str, *, may_lack: bool = False) -> None:
    try:
        around.values[key] = (named, read_key(absolute_path(file)))
    except ValueError as error:
        if not (may_lack and isinstance(error.__cause__, FileNotFoundError)):
            around.problems[key] = wrong(named, show(file), str(error) or "a file with the key")
