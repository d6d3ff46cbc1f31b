import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from shared.sd_notify import SdNotify


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    name = str(tmp_path / "notify") if request.param == "path" else f"@clawpace-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind(name.replace("@", "\0"))
        except OSError:
            pytest.skip("this machine has no abstract sockets")
        sock.setblocking(False)
        yield name, sock


def heard(sock: socket.socket) -> list[str]:
    words = []
    while True:
        try:
            words.append(sock.recv(100).decode())
        except BlockingIOError:
            return words


def test_the_manager_hears_of_start_and_stop(manager: tuple[str, socket.socket]) -> None:
    name, sock = manager
    notify = SdNotify(name)
    notify.ready()
    notify.stopping()
    assert heard(sock) == ["READY=1", "STOPPING=1"]


async def test_the_watchdog_speaks_twice_in_each_interval(
    manager: tuple[str, socket.socket], autojump_clock: MockClock
) -> None:
    name, sock = manager
    with trio.move_on_after(10.5):
        await SdNotify(name, "4000000", str(os.getpid())).watchdog()
    assert heard(sock) == ["WATCHDOG=1"] * 6


@pytest.mark.parametrize(
    "notify",
    [
        SdNotify(None, "4000000"),
        SdNotify("", "4000000"),
        SdNotify("vsock:2:1234", "4000000"),
        SdNotify("/nowhere", None),
        SdNotify("/nowhere", "soon"),
        SdNotify("/nowhere", "4000000", "1"),
    ],
    ids=repr,
)
async def test_where_nobody_asked_nothing_is_done(notify: SdNotify) -> None:
    with trio.fail_after(1):
        await notify.watchdog()


def test_a_manager_that_is_not_there_is_logged_and_forgotten() -> None:
    with capture_logs() as lines:
        SdNotify("/nowhere/at/all").ready()
        SdNotify(None).ready()
    assert [line["event"] for line in lines] == ["sd_notify_failed"]
