import pytest
from prometheus_client import CollectorRegistry, Gauge

from shared.metrics import metrics_app
from tests.shared.asgi_client import HOST, Answer, ask, http_scope


async def scrape(path: bytes = b"/metrics", method: str = "GET", accept: bytes = b"") -> Answer:
    registry = CollectorRegistry()
    gauge = Gauge("depth", "how deep", registry=registry)

    async def measure() -> None:
        gauge.set(7)

    app = metrics_app(registry, before_scrape=measure)
    return await ask(app, http_scope(path, method=method, headers=[HOST, (b"accept", accept)]))


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_gauges_are_brought_up_to_date_before_they_are_shown(method: str) -> None:
    answer = await scrape(method=method)
    assert answer.status == 200
    assert b"depth 7.0" in answer.body
    assert answer.headers[b"content-type"].startswith(b"text/plain")


async def test_openmetrics_is_spoken_to_those_who_ask() -> None:
    answer = await scrape(accept=b"application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    assert answer.headers[b"content-type"].startswith(b"application/openmetrics-text")
    assert answer.body.endswith(b"# EOF\n")


async def test_nothing_else_is_served() -> None:
    assert (await scrape(b"/")).status == 404
    assert (await scrape(b"/metrics/")).code == "not_found"
    answer = await scrape(method="POST")
    assert (answer.status, answer.headers[b"allow"]) == (405, b"GET, HEAD")
