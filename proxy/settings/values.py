"""Single values that only the sidecar asks for: rates, priorities, models, the upstream's address."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from shared.settings import Expect
from shared.settings.values import Lower, Name, Number, Whole, base_url

QueueFullPolicy = Literal["passthrough", "reject", "drop_lowest"]


def _without_endpoint(text: str) -> str:
    base = base_url(text)
    if base.endswith(("/chat/completions", "/completions", "/embeddings", "/models")):
        raise ValueError("the address up to /v1, without the endpoint after it")
    return base


def _upstream_url(text: str) -> str:
    return re.sub(r"(/v1)*$", "", _without_endpoint(text)) + "/v1"


def _provider_url(text: str) -> str:
    """Others have other versions in their paths (``/api/paas/v4``): only a bare host gets a ``/v1``."""
    base = _without_endpoint(text)
    return base if base.count("/") > 2 else base + "/v1"


def _not_nvidia(name: str) -> str:
    # ``nvidia/…`` are ids of NVIDIA's own catalogue: they must not get past the limiter.
    if name.lower() == "nvidia":
        raise ValueError("another name: nvidia is the limited upstream itself")
    return name


_URL = Expect("an http:// or https:// address with a host and nothing but a path after it")
UpstreamUrl = Annotated[str, AfterValidator(_upstream_url), _URL]
ProviderUrl = Annotated[str, AfterValidator(_provider_url), _URL]
ProviderName = Annotated[Name, AfterValidator(_not_nvidia), Expect("a name")]
Rpm = Annotated[Number, Field(gt=0, le=1e6), Expect("a number of requests per minute above 0, up to 1000000")]
Retries = Annotated[Whole, Field(ge=0, le=1000), Expect("a whole number from 0 to 1000")]
Policy = Annotated[QueueFullPolicy, Lower, Expect("one of passthrough, reject, drop_lowest")]
Priority = Annotated[
    Literal["urgent", "high", "normal", "low"], Lower, Expect("one of urgent, high, normal, low")
]
Model = Annotated[
    str,
    StringConstraints(pattern=r"^[!-~]{1,256}$"),
    Expect("the id of a model, such as meta/llama-3.1-8b-instruct"),
]
Models = Annotated[tuple[Model, ...], Field(min_length=1), Expect("a list of at least one model")]
Alias = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9._*?-]{1,64}$"),
    Expect("a name in which * and ? may stand for others, such as nvidia*"),
]
Aliases = Annotated[tuple[Alias, ...], Expect("a list of names")]
NotYet = Annotated[
    str,
    Field(max_length=0),
    Expect("nothing: one budget for several sidecars does not work yet in this release"),
]
