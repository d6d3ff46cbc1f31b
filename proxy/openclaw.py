"""The block that points OpenClaw at this sidecar, ready for ``openclaw config patch``.

The rule: no key of ours is ever in it. Four provider ids stand on one base URL, because OpenClaw takes
headers per provider, not per agent. The shapes were measured on OpenClaw 2026.9.6.
"""

from collections.abc import Iterable

from shared.addresses import http_url

# Something to replace: what an account may use is in its own list of models.
DEFAULT_MODELS = ("deepseek-ai/deepseek-v3",)

# Longer than our longest wait and the longest silence together: OpenClaw must not send a request twice. It is
# also sent to us as ``x-stainless-timeout``, the client's patience.
TIMEOUT_SECONDS = 900

# Plain ``nvidia`` has no header: a header would win over the ``metadata.priority`` that an agent may set.
PRIORITIES = {"nvidia": None, "nvidia-urgent": "urgent", "nvidia-high": "high", "nvidia-low": "low"}


def base_url(host: str, port: int) -> str:
    """Where a client on the same machine reaches the proxy."""
    return f"{http_url(host, port)}/v1"


def client_key(*, own_key: bool, known_clients: bool) -> str:
    """What OpenClaw sends as its key: a variable of its own, or a word where none is needed."""
    if known_clients:
        return "${SIDECAR_CLIENT_KEY}"
    return "held-by-the-sidecar" if own_key else "${NVIDIA_API_KEY}"


def config_block(base: str, api_key: str, models: Iterable[str] = DEFAULT_MODELS) -> dict[str, object]:
    """``nvidia``, ``nvidia-urgent``, ``nvidia-high`` and ``nvidia-low``, and no heartbeat of OpenClaw's own.

    OpenClaw's built-in heartbeat would spend the same budget on asking idle agents whether they are idle.
    """
    listed = list(models)
    providers = {name: _provider(base, api_key, priority, listed) for name, priority in PRIORITIES.items()}
    return {
        "models": {"mode": "merge", "providers": providers},
        "agents": {"defaults": {"heartbeat": {"every": "0m"}}},
    }


def _provider(base: str, api_key: str, priority: str | None, models: Iterable[str]) -> dict[str, object]:
    headers = {"headers": {"X-Priority": priority}} if priority else {}
    return {
        "baseUrl": base,
        "apiKey": api_key,
        "api": "openai-completions",
        "timeoutSeconds": TIMEOUT_SECONDS,
        **headers,
        "models": [_model(model) for model in models],
    }


def _model(model: str) -> dict[str, object]:
    return {
        "id": model,
        "name": model,
        "input": ["text"],
        "contextWindow": 131072,
        "maxTokens": 4096,
        # OpenClaw's own rows for NVIDIA have the first; on a loopback address they lose it. The second tells
        # sessions apart, so that they can take turns.
        "compat": {"requiresStringContent": True, "sendSessionAffinityHeaders": True},
    }
