"""What is wrong between settings that are each right."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from shared.settings import Conflict, Where

if TYPE_CHECKING:
    from proxy.settings import Settings


def conflicts(settings: "Settings") -> Iterator[Conflict]:
    """One for each rule that is broken."""
    if settings.metrics_port == settings.listen_port != 0:
        yield Conflict(
            ("metrics_port",),
            settings.metrics_port,
            "different ports for the proxy and for the metrics",
            ("listen_port",),
        )
    for where, rate in _rates(settings):
        if settings.lane_limit(rate) < 1:
            yield Conflict(
                where,
                rate,
                "at least one request per window: rate_rpm x window_seconds / 60 must not be below 1, "
                f"and {rate:g} x {settings.window_seconds:g} / 60 is",
                ("window_seconds",),
            )
    if settings.clients and not settings.has_own_key:
        yield Conflict(
            ("clients",),
            settings.clients,
            "a key of our own beside it (SIDECAR_API_KEY or keys): a client's key is never sent upstream",
            ("upstream_api_key", "keys"),
        )
    if not (settings.is_loopback or settings.clients or settings.allow_open):
        yield Conflict(
            ("listen_host",),
            settings.listen_host,
            "a loopback address such as 127.0.0.1, or clients that must name themselves, or "
            "SIDECAR_ALLOW_OPEN=true: anybody who reaches it may spend the budget",
            ("clients", "allow_open"),
        )


def _rates(settings: "Settings") -> Iterator[tuple[Where, float]]:
    yield ("rate_rpm",), settings.rate_rpm
    for index, key in enumerate(settings.keys):
        if key.rate_rpm is not None:
            yield ("keys", index, "rate_rpm"), key.rate_rpm
    for name, provider in settings.providers.items():
        if provider.rate_rpm is not None:
            yield ("providers", name, "rate_rpm"), provider.rate_rpm
