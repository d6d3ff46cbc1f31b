"""Which models OpenClaw uses through the sidecar, and how each is described there.

OpenClaw writes `provider/model`; NVIDIA's ids, which is what the sidecar is sent, have no provider in front.
Measured on 2026.9.6: a row of the provider `nvidia` that says little is completed by what OpenClaw itself
knows of the model; a row of any other provider is all that is known.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from scheduler.core.openclaw.tree import REDACTED, Json, as_object

PRIORITIES: Final = {"nvidia-urgent": "urgent", "nvidia-high": "high", "nvidia-low": "low"}
"""Plain `nvidia` has no header: one would win over the `metadata.priority` that an agent may set."""
OURS: Final = ("nvidia", *PRIORITIES)

COMPAT: Final = {"requiresStringContent": True, "sendSessionAffinityHeaders": True}
"""OpenClaw's own rows for NVIDIA have the first; on a loopback address they lose it. The second tells
sessions apart, so that they can take turns.
"""
_GUESSED: Final = {"contextWindow": 131072, "maxTokens": 4096}
"""Where nobody knows the model."""


def model_ids(config: Json, agents_models: Sequence[str], named: Sequence[str]) -> list[str]:
    """NVIDIA's ids of all models that are written down or used, in that order, each once."""
    written = [row["id"] for name in OURS for row in rows_of(config, name)]
    references = [*agents_models, *_references(as_object(config.get("agents")))]
    used = [model for each in references for own, _, model in [each.partition("/")] if own in OURS and model]
    return list(dict.fromkeys([*written, *used, *named]))


def rows_of(config: Json, provider: str) -> list[dict[str, Json]]:
    """The provider's models as they are written down."""
    providers = as_object(as_object(config.get("models")).get("providers"))
    rows = as_object(providers.get(provider)).get("models")
    return [row for row in rows if is_row(row)] if isinstance(rows, list) else []


def is_row(row: Json) -> bool:
    """Whether it describes a model."""
    return isinstance(row, dict) and isinstance(row.get("id"), str)


def fitting(row: Mapping[str, Json]) -> dict[str, Json]:
    """The row as the sidecar needs it; what else it says stays."""
    return {**row, "compat": {**as_object(row.get("compat")), **COMPAT}}


def own_row(model: str, offered: Mapping[str, Json]) -> dict[str, Json]:
    """For `nvidia`, where nobody wrote one: it says as little as it may."""
    known = as_object(offered.get(model))
    guessed = {} if known else {"input": ["text"], **_GUESSED}
    return fitting({"id": model, "name": known.get("name") or model, **guessed})


def other_row(model: str, written: Sequence[Mapping[str, Json]], offered: Mapping[str, Json]) -> Json:
    """For the other three: what is written down for `nvidia`, else what OpenClaw tells of the model."""
    row = next((row for row in written if row["id"] == model), None)
    if row is not None:
        return fitting({name: value for name, value in row.items() if not has_secrets(value)})
    told = as_object(offered.get(model))
    known = {name: told[name] for name in ("name", "contextWindow", "reasoning") if told.get(name)}
    guessed = {} if "contextWindow" in known else _GUESSED
    return fitting({"id": model, "name": model, "input": told.get("input") or ["text"], **guessed, **known})


def has_secrets(value: Json) -> bool:
    """Whether there is anything in it that OpenClaw does not show: it could not be written again."""
    if isinstance(value, dict):
        return any(map(has_secrets, value.values()))
    return any(map(has_secrets, value)) if isinstance(value, list) else value == REDACTED


def _references(settings: Mapping[str, Json]) -> Iterator[str]:
    """Every model that stands behind a key such as `model`, `imageModel` or `models`."""
    for name, value in settings.items():
        if name.lower().endswith(("model", "models")):
            yield from _texts(value)
        elif isinstance(value, dict):
            yield from _references(value)


def _texts(value: Json) -> Iterator[str]:
    """`"p/m"`, `{"primary": "p/m", "fallbacks": [...]}`, `{"p/m": {...}}`."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        yield from (each for each in value if isinstance(each, str))
    elif isinstance(value, dict):
        for name, each in value.items():
            yield name
            yield from _texts(each)
