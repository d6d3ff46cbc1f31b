"""Everything that serves requests, put together: who is handed what."""

import random
from dataclasses import dataclass
from functools import partial

import trio

from proxy.agents import Agents
from proxy.app import build_app
from proxy.core.admission import Admission
from proxy.core.budget import Budget
from proxy.core.decisions import FullPolicy
from proxy.core.retreat import Retreat, RetreatRules
from proxy.gate import Gate
from proxy.handler import Handler
from proxy.keepalive import KeepAlive
from proxy.keys import Keys
from proxy.metrics import Metrics
from proxy.models import ModelsCache
from proxy.settings import Settings
from proxy.stamps import Stamps
from proxy.status import Status
from proxy.upstream import Upstream
from shared.asgi import App
from shared.guard import Guard
from shared.lifecycle import Lifecycle
from shared.metrics import metrics_app


@dataclass(frozen=True, slots=True)
class Parts:
    """What the task tree runs."""

    gate: Gate
    keepalive: KeepAlive
    handler: Handler
    upstream: Upstream
    proxy_app: App
    metrics_app: App


def assemble(settings: Settings, stamps: Stamps, lifecycle: Lifecycle) -> Parts:
    """Inside Trio, because the lane begins at Trio's time."""
    gate = _gate(settings, stamps, trio.current_time())
    upstream = Upstream(
        settings.upstream_url,
        first_byte_seconds=settings.first_byte_seconds,
        silence_seconds=settings.request_timeout,
    )
    agents, metrics, keys, keepalive = Agents(), Metrics(), Keys(settings), KeepAlive()
    models = ModelsCache(
        upstream,
        gate,
        metrics,
        ttl_seconds=settings.models_ttl,
    )
    handler = Handler(
        settings,
        gate=gate,
        upstream=upstream,
        agents=agents,
        metrics=metrics,
        models=models,
        keys=keys,
        keepalive=keepalive,
        lifecycle=lifecycle,
        lot=random.random,
    )
    status = Status(
        settings, gate=gate, upstream=upstream, agents=agents, metrics=metrics, lifecycle=lifecycle
    )
    metrics.watch(status.gauges)

    async def upstream_reachable() -> bool:
        return await upstream.check(probe=models.question(None))

    async def before_scrape() -> None:
        await upstream_reachable()

    guarded = partial(Guard, allowed_hosts=settings.allowed_hosts, listen_host=settings.listen_host)
    proxy_app = build_app(handler, status, upstream_reachable)
    scraped = metrics_app(metrics.registry, before_scrape=before_scrape)
    guarded_proxy = guarded(proxy_app, on_refusal=handler.refused)
    return Parts(gate, keepalive, handler, upstream, guarded_proxy, guarded(scraped))


def _gate(settings: Settings, stamps: Stamps, now: float) -> Gate:
    budget = Budget(
        limit=settings.window_limit,
        window_seconds=settings.window_seconds,
        margin_seconds=settings.window_margin_seconds,
        bucket_capacity=settings.bucket_capacity,
        now=now,
        release_ats=[now + seconds for seconds in stamps.held_for],
    )
    retreat = Retreat(RetreatRules(**settings.retreat.model_dump()), settings.rate_rpm)
    admission = Admission(
        budget,
        retreat,
        queue_max=settings.queue_max_size,
        full_policy=FullPolicy(settings.effective_queue_full_policy),
        aging_seconds=settings.aging_seconds,
    )
    return Gate(admission, retreat, stamps)
