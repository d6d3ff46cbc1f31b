"""The board that the settings name, opened."""

from scheduler.blackboard.store import Store
from scheduler.settings import Settings


def open_board(settings: Settings) -> Store:
    """Made where it is missing, brought to this release's schema where it is older. Raises BoardError."""
    return Store.open(
        settings.effective_database_url,
        artifacts=settings.state_dir / "artifacts",
        pool_size=settings.database_pool_size,
        max_overflow=settings.database_max_overflow,
        high_risk=settings.high_risk_tools if settings.require_approval_for_high_risk else (),
    )
