"""What the sidecar finds around it: the key in a file of its own, and a place for its state."""

from collections.abc import Mapping

from shared.settings import Surroundings
from shared.settings.surroundings import find_key, find_state_dir


def look_around(environ: Mapping[str, str]) -> Surroundings:
    """What the environment offers besides the sidecar's own variables."""
    around = Surroundings()
    find_state_dir(around, environ)
    find_key(
        around, environ, key="upstream_api_key", variable="SIDECAR_API_KEY", credential="sidecar-api-key"
    )
    return around
