"""What the scheduler finds around it: the admin token in a file of its own, and a place for its state."""

from collections.abc import Mapping

from shared.settings import Surroundings
from shared.settings.surroundings import find_key, find_state_dir


def look_around(environ: Mapping[str, str]) -> Surroundings:
    """What the environment offers besides the scheduler's own variables."""
    around = Surroundings()
    find_state_dir(around, environ)
    find_key(
        around,
        environ,
        key="admin_token",
        variable="SCHEDULER_ADMIN_TOKEN",
        credential="scheduler-admin-token",
    )
    return around
