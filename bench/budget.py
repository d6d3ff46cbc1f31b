"""How the budget is spent: twelve clients that want three times the limit of a strict upstream, ten windows.

Each client asks, reads the answer, thinks, asks again; were it always served at once, twelve of them would
ask three times as often as allowed. A thirteenth has something urgent now and then. The same load is run

- through the sidecar, with everybody in one band, and with the twelve in three bands;
- straight at the upstream, with the two retries that OpenAI's SDKs make;
- through the obvious remedy, a token bucket that the clients share (L tokens, refilled at L per window).

Every way has an upstream of its own, so all run at the same time. Times are in units of T = window / limit,
1.5 s for 40 requests a minute: a window of 6 s shows in a minute what one of 60 s shows in ten.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Final

import httpx
import trio

from bench import processes
from bench.table import Figure, print_figures, print_table

LIMIT: Final = 40
WINDOWS: Final = 10
CLIENTS: Final = 12
BURST: Final = 20
"""What the shipped example settings say; the default is 40."""
PROGRESS_SECONDS: Final = 10.0
SDK_RETRIES: Final = 2
SDK_FIRST_PAUSE, SDK_LONGEST_PAUSE = 0.5, 8.0  # seconds; doubled each time, less up to a quarter of jitter


@dataclass(frozen=True, slots=True)
class Scale:
    """The length of a window, and what follows from it. Everything else is in proportion."""

    window: float

    @property
    def interval(self) -> float:
        """T, seconds."""
        return self.window / LIMIT

    @property
    def ratio(self) -> float:
        """To a window of 60 s; also the margin, which is 1 s there."""
        return self.window / 60

    def settings(self) -> dict[str, str]:
        """The sidecar's settings; waiting times in proportion, too."""
        return {
            "SIDECAR_RATE_RPM": f"{LIMIT * 60 / self.window:g}",
            "SIDECAR_BUCKET_CAPACITY": str(BURST),
            "SIDECAR_WINDOW_SECONDS": f"{self.window:g}",
            "SIDECAR_WINDOW_MARGIN": f"{self.ratio:g}",
            "SIDECAR_AGING_SECONDS": f"{60 * self.ratio:g}",
            "SIDECAR_LOW_TIMEOUT": "3600",  # here LOW means "after the others", not "now or never"
        }


@dataclass
class Seen:
    """What the clients of one way saw. Waits in seconds."""

    waits: dict[str, list[float]] = field(default_factory=dict)
    served: Counter[str] = field(default_factory=Counter)
    failed: int = 0


@dataclass
class Way:
    """One way to spend the budget: where the clients ask, and how."""

    name: str
    url: str
    upstream: str
    bands: Sequence[str] = ("normal",)
    retries: int = 0
    bucket: "TokenBucket | None" = None
    seen: Seen = field(default_factory=Seen)


class TokenBucket:
    """The obvious limiter: it starts full, and refills while it is emptied."""

    def __init__(self, scale: Scale) -> None:
        self._interval = scale.interval
        self._tokens = float(LIMIT)
        self._at = trio.current_time()

    async def take(self) -> float:
        """Wait for a token, in no particular order; returns for how long."""
        begun = trio.current_time()
        while True:
            now = trio.current_time()
            self._tokens = min(LIMIT, self._tokens + (now - self._at) / self._interval)
            self._at = now
            if self._tokens >= 1:
                self._tokens -= 1
                return now - begun
            await trio.sleep((1 - self._tokens) * self._interval)


def measure(*, window: float, windows: int, say: Callable[[str], None]) -> list[Figure]:
    """Run it, print it, and return the figures."""
    scale, seconds = Scale(window), window * windows
    say(f"{windows} windows of {window:g} s, {LIMIT} requests each, four ways at once: {seconds:.0f} s")
    ways = trio.run(_run, scale, seconds, say)
    rows = [_row(way, stats, scale, seconds) for way, stats in ways]
    print_table(
        f"Budget: {CLIENTS} clients that want {3 * LIMIT} per {window:g} s, and one with something urgent",
        ("", "used / allowed", "refused upstream", "most in a window", "failures", "Jain"),
        rows,
    )
    waits = [row for way, _ in ways for row in _wait_rows(way)]
    print_table(f"Waits in seconds (T = {scale.interval:g} s)", ("", "requests", "p50", "p95", "max"), waits)
    return _judged(ways, scale, seconds)


async def _run(scale: Scale, seconds: float, say: Callable[[str], None]) -> list[tuple[Way, dict[str, int]]]:
    with ExitStack() as stack:
        ways = [_way(stack, scale, name) for name in ("sidecar", "sidecar, three bands", "direct", "bucket")]
        with trio.move_on_after(seconds):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_tell_progress, ways, seconds, say)
                for way in ways:
                    nursery.start_soon(_load, way, scale)
        return [(way, _stats(way)) for way in ways]


def _way(stack: ExitStack, scale: Scale, name: str) -> Way:
    latency = f"{scale.interval}-{3 * scale.interval}"
    options = ("--rpm", str(LIMIT), "--window", str(scale.window), "--latency", latency)
    upstream = stack.enter_context(processes.simulator(*options)).url
    if name.startswith("sidecar"):
        url = stack.enter_context(processes.sidecar(upstream, scale.settings())).url
        bands = ("high", "normal", "normal", "low") if "bands" in name else ("normal",)
        return Way(name, url, upstream, bands)
    bucket = TokenBucket(scale) if name == "bucket" else None
    title = "token bucket in front of the SDK" if bucket else "OpenAI SDK, direct"
    return Way(title, upstream, upstream, retries=SDK_RETRIES, bucket=bucket)


def _stats(way: Way) -> dict[str, int]:
    stats: dict[str, int] = httpx.get(f"{way.upstream}/_sim/stats", trust_env=False).json()
    return stats


async def _tell_progress(ways: Iterable[Way], seconds: float, say: Callable[[str], None]) -> None:
    begun = trio.current_time()
    while True:
        await trio.sleep(PROGRESS_SECONDS)
        served = ", ".join(f"{way.seen.served.total()}" for way in ways)
        say(f"{trio.current_time() - begun:.0f} of {seconds:.0f} s, served so far: {served}")


async def _load(way: Way, scale: Scale) -> None:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=CLIENTS + 1)
    async with (
        httpx.AsyncClient(trust_env=False, timeout=None, limits=limits) as http,  # noqa: S113 - the run ends it
        trio.open_nursery() as nursery,
    ):
        for number in range(CLIENTS):
            nursery.start_soon(_client, way, http, number, scale)
        nursery.start_soon(_pager, way, http, scale, random.Random(CLIENTS))


async def _client(way: Way, http: httpx.AsyncClient, number: int, scale: Scale) -> None:
    """Served in T to 3 T, thinks for T to 3 T: twelve of them offer 12 per 4 T."""
    lots, band = random.Random(number), way.bands[number % len(way.bands)]
    while True:
        await trio.sleep(lots.uniform(1, 3) * scale.interval)
        await _ask(way, http, f"agent-{number}", band, scale, lots)


async def _pager(way: Way, http: httpx.AsyncClient, scale: Scale, lots: random.Random) -> None:
    """Something urgent about every 20 s of a real minute, at random; singly, and at least 2 T apart."""
    while True:
        await trio.sleep(2 * scale.interval + lots.expovariate(1 / (17 * scale.ratio)))
        await _ask(way, http, "pager", "urgent", scale, lots)


async def _ask(  # noqa: PLR0917 - what, where to, as whom
    way: Way, http: httpx.AsyncClient, agent: str, band: str, scale: Scale, lots: random.Random
) -> None:
    """One request with its retries, as a program sees it: served in the end, or failed."""
    waited = await way.bucket.take() if way.bucket else 0.0
    for attempt in range(way.retries + 1):
        answer = await http.post(
            f"{way.url}/v1/chat/completions",
            json={"model": "meta/llama-3.3-70b-instruct", "messages": [{"role": "user", "content": "Hi"}]},
            headers={"x-priority": band, "x-agent-id": agent, "authorization": "Bearer of-the-client"},
        )
        if answer.status_code == 200:
            way.seen.served[agent] += 1
            waited += int(answer.headers.get("x-sidecar-queue-ms", 0)) / 1000
            way.seen.waits.setdefault(band, []).append(waited)
            return
        if attempt < way.retries:
            pause = min(SDK_FIRST_PAUSE * 2**attempt, SDK_LONGEST_PAUSE) * lots.uniform(0.75, 1) * scale.ratio
            waited += pause
            await trio.sleep(pause)
    way.seen.failed += 1


def _row(way: Way, stats: dict[str, int], scale: Scale, seconds: float) -> tuple[str, ...]:
    failed = way.seen.failed
    ended = max(1, failed + way.seen.served.total())
    return (
        way.name,
        f"{_used(stats, scale, seconds):.3f}",
        f"{stats['refused']}",
        f"{stats['max_in_window']}",
        f"{failed} ({100 * failed / ended:.0f} %)",
        f"{_jain(way):.3f}",
    )


def _used(stats: dict[str, int], scale: Scale, seconds: float) -> float:
    """Of L per window: what the upstream would have given."""
    return stats["accepted"] / (LIMIT * seconds / scale.window)


def _jain(way: Way) -> float:
    """Among the clients of a band, the worst band's: 1 if all were served as often, 1/n if one got all."""
    served: dict[str, list[int]] = {}
    for number in range(CLIENTS):
        band = way.bands[number % len(way.bands)]
        served.setdefault(band, []).append(way.seen.served[f"agent-{number}"])
    return min(
        sum(shares) ** 2 / max(1, len(shares) * sum(share**2 for share in shares))
        for shares in served.values()
    )


def _wait_rows(way: Way) -> list[tuple[str, ...]]:
    order = ("urgent", "high", "normal", "low")
    found = [(band, sorted(way.seen.waits[band])) for band in order if band in way.seen.waits]
    return [
        (
            f"{way.name}: {band.upper()}",
            f"{len(waits)}",
            *(f"{_quantile(waits, share):.2f}" for share in (0.5, 0.95, 1.0)),
        )
        for band, waits in found
    ]


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def _judged(ways: Sequence[tuple[Way, dict[str, int]]], scale: Scale, seconds: float) -> list[Figure]:
    """The sidecar's first way against the targets."""
    (way, stats), (_, banded), *_ = ways
    urgent = sorted(way.seen.waits.get("urgent", [0.0]))
    figures = [
        Figure("used / allowed", _used(stats, scale, seconds), "", 3, least=0.97),
        Figure("refused by the upstream, both ways", stats["refused"] + banded["refused"], "", 0, most=0),
        Figure("failures", way.seen.failed, "", 0, most=0),
        Figure("longest urgent wait, in T", urgent[-1] / scale.interval, "", 1, most=2.0),
        Figure("Jain index of the agents", _jain(way), "", 3, least=0.95),
    ]
    print_figures("The sidecar against its targets", figures)
    return figures
