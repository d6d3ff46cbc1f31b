"""What a report asks its neighbours for, over real sockets: answers, silence, and strangers."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from scheduler.report.asking import ask, daemon_of
from scheduler.report.model import Daemon
from scheduler.settings import Settings
from shared.settings import load

pytestmark = pytest.mark.integration

STATUS = {"calls_avoided": 17}
HEALTH = {
    "components": {
        "sources": {
            "workboard": {"status": "healthy"},
            "multica": {"status": "unavailable", "reason": "exit code 3"},
            "todo": {"status": "unknown", "reason": "nothing has been asked of it yet"},
        }
    }
}
AGENTS = [{"agent": "coo", "session": "s:0", "requests": 4, "prompt_tokens": 10, "completion_tokens": 2}]
CAPACITY = {"effective_rpm": 40.0, "spare_rpm": 20.0}


@contextmanager
def answering(pages: Mapping[str, object]) -> Iterator[int]:
    """A server of these pages; its port."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(pages.get(self.path)).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Not of interest."""

    with HTTPServer(("127.0.0.1", 0), Page) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def unused_port() -> int:
    with answering({}) as port:
        return port


def settings(home: Path, port: int, sidecar: str) -> Settings:
    return load(
        Settings, {"HOME": str(home), "SCHEDULER_PORT": str(port), "SCHEDULER_SIDECAR_URL": sidecar}, None
    )


def test_the_scheduler_and_the_sidecar_are_asked_for_what_they_alone_know(tmp_path: Path) -> None:
    daemon = {"/api/daemon/status": STATUS, "/health": HEALTH}
    sidecar = {"/api/capacity": CAPACITY, "/api/agents": AGENTS}
    with answering(daemon) as port, answering(sidecar) as other:
        found = ask(settings(tmp_path, port, f"http://127.0.0.1:{other}"))
    assert found.daemon == Daemon(17, {"multica": "exit code 3"})
    assert not isinstance(found.callers, str)
    assert [(each.agent, each.requests) for each in found.callers] == [("coo", 4)]


def test_who_does_not_answer_is_told_in_words(tmp_path: Path, unused_port: int) -> None:
    found = ask(settings(tmp_path, unused_port, f"http://127.0.0.1:{unused_port}"))
    assert found.daemon == "the scheduler does not answer"
    assert found.callers == "the sidecar cannot be reached"
    assert ask(settings(tmp_path, unused_port, "")).callers == "no sidecar is configured"


@pytest.mark.parametrize("page", [None, [], "text", {"calls_avoided": "many"}])
def test_a_stranger_in_the_place_of_the_scheduler_is_not_believed(tmp_path: Path, page: object) -> None:
    with answering({"/api/daemon/status": page, "/health": page}) as port:
        found = ask(settings(tmp_path, port, ""))
    assert found.daemon == "what answers in the scheduler's place is not understood"


def test_a_scheduler_without_sources_has_none_that_are_down() -> None:
    assert daemon_of(STATUS, {"components": {}}) == Daemon(17, {})
