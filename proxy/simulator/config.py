"""How the simulator behaves; everything here can be changed while it runs (``POST /_sim/settings``)."""

from typing import Annotated

import msgspec

from proxy.simulator import latency

Count = Annotated[int, msgspec.Meta(ge=0)]
Seconds = Annotated[float, msgspec.Meta(ge=0)]


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    rpm: Count = 40
    """Accepted requests per key in any window; 0 refuses everything, as a ban does."""
    window: Annotated[float, msgspec.Meta(gt=0)] = 60.0
    model_rpm: dict[str, Count] = {}
    """Limits that some models have of their own, below the key's."""
    workers: dict[str, Count] = {}
    """How many requests a model serves at once."""
    latency: float | str = 0.4
    """Until the answer; see ``latency`` for the forms."""
    first_token: float | str | None = None
    """Until a stream begins; None: like ``latency``."""
    chunks: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 12
    chunk_gap: Seconds = 0.05
    key: str | None = None
    """The only accepted key; None accepts any."""
    seed: int = 1

    def __post_init__(self) -> None:
        latency.parse(self.latency)
        if self.first_token is not None:
            latency.parse(self.first_token)

    def changed_by(self, changes: bytes) -> "Config":
        """This one with the fields of a JSON object replaced; msgspec.ValidationError names what is wrong."""
        wanted = msgspec.json.decode(changes, type=dict[str, object])
        return msgspec.convert({**msgspec.to_builtins(self), **wanted}, Config)
