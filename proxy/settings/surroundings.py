"""What the sidecar finds around it: the key in a file of its own, and a place for its state."""

from collections.abc import Mapping

from shared.settings import Surroundings, show, wrong
from shared.settings.keys import read_key
from shared.settings.values import absolute_path

STATE_DIR_AT_HOME = ".local/state/clawpace"
CREDENTIAL = "sidecar-api-key"  # the name in systemd's LoadCredential=


def look_around(environ: Mapping[str, str]) -> Surroundings:
    """The nearest key wins: the variable itself, the file it names, systemd's credential."""
    around = Surroundings()
    home = environ.get("HOME") or "~"
    offered = environ.get("STATE_DIRECTORY", "").split(":")[0]  # systemd lists several with colons
    around.defaults["state_dir"] = offered or f"{home}/{STATE_DIR_AT_HOME}"
    if environ.get("SIDECAR_API_KEY", "").strip():
        return around
    if named := environ.get("SIDECAR_API_KEY_FILE"):
        _take_key(around, "SIDECAR_API_KEY_FILE", named)
    elif directory := environ.get("CREDENTIALS_DIRECTORY"):
        # A directory that systemd made, perhaps with other credentials only: no file is no problem.
        _take_key(around, f"$CREDENTIALS_DIRECTORY/{CREDENTIAL}", f"{directory}/{CREDENTIAL}", may_lack=True)
    return around


def _take_key(around: Surroundings, variable: str, file: str, *, may_lack: bool = False) -> None:
    try:
        around.values["upstream_api_key"] = (variable, read_key(absolute_path(file)))
    except ValueError as error:
        if not (may_lack and isinstance(error.__cause__, FileNotFoundError)):
            around.problems["upstream_api_key"] = wrong(
                variable, show(file), str(error) or "a file with the key"
            )
