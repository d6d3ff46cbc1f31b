"""How the command line finds the board, and who it speaks as: databases, addresses, tickets, tokens."""

import json
import os
import re
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from scheduler.cli.commands import overview
from scheduler.cli.line import Line, Options
from scheduler.cli.located import Located, _by_settings, locate
from scheduler.cli.remote import Address
from scheduler.cli.screen import Screen
from scheduler.cli.told import ToldError
from scheduler.settings import Settings
from shared.answers import error_body
from shared.settings import load
from tests.edge.scheduler.commands import Shell
from tests.edge.scheduler.office import ADMIN
from tests.edge.scheduler.served import served

HOME = "/home/olga"


@pytest.mark.parametrize(
    "environ",
    [
        {"HOME": HOME},
        {"HOME": HOME, "STATE_DIRECTORY": "/var/lib/clawpace"},
        {"HOME": HOME, "STATE_DIRECTORY": "/var/lib/clawpace:/var/lib/other"},
        {"HOME": HOME, "STATE_DIRECTORY": ""},
        {"HOME": HOME, "SCHEDULER_STATE_DIR": "/srv/board"},
        {"HOME": HOME, "SCHEDULER_STATE_DIR": "/srv/board/"},
        {"HOME": HOME, "SCHEDULER_STATE_DIR": "/srv//a/../board"},
        {"HOME": HOME, "SCHEDULER_STATE_DIR": "~/board"},
        {"HOME": HOME, "SCHEDULER_STATE_DIR": "board"},
        {"HOME": HOME, "SCHEDULER_STATE_DIR": "/srv/a b"},
        {"HOME": HOME, "SCHEDULER_DATABASE_URL": "postgresql://u:p@host/board"},
        {"HOME": HOME, "SCHEDULER_DATABASE_URL": "sqlite:////srv/b.db", "DATABASE_POOL_SIZE": "3"},
        {"HOME": HOME, "SCHEDULER_HIGH_RISK_TOOLS": "a,b", "SCHEDULER_MAX_ATTEMPTS": "7"},
        {"HOME": HOME, "SCHEDULER_REQUIRE_APPROVAL_FOR_HIGH_RISK": "false"},
        {"HOME": HOME, "SCHEDULER_ADMIN_TOKEN": "a-token-of-the-admin"},
    ],
)
def test_the_short_way_to_the_settings_ends_where_the_long_one_does(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", HOME)
    assert locate(environ) == _by_settings(environ)


def test_what_the_short_way_takes_for_granted_are_the_settings_defaults() -> None:
    settings = load(Settings, {"HOME": HOME})
    located = Located(settings.state_dir, settings.effective_database_url)
    assert located.high_risk == settings.high_risk_tools
    assert located.max_attempts == settings.max_attempts
    assert (located.pool_size, located.max_overflow) == (
        settings.database_pool_size,
        settings.database_max_overflow,
    )


def test_wrong_settings_are_told_with_the_variable(shell: Shell) -> None:
    shell.set(SCHEDULER_TICK_SECONDS="never", SCHEDULER_PORT="x")
    assert shell.error("list") == (2, "invalid_settings")
    told = shell("list").err
    assert "SCHEDULER_TICK_SECONDS" in told
    assert "SCHEDULER_PORT" in told


def test_without_a_word_the_board_is_in_the_state_directory(shell: Shell) -> None:
    shell.json("create", "--title", "x")
    state_dir = shell.home / ".local/state/clawpace"
    shell.json("output", "T-0001", "--text", "x")
    assert (state_dir / "blackboard.db").is_file()
    assert (state_dir / "artifacts/T-0001").is_dir()
    assert state_dir.stat().st_mode & 0o777 == 0o700


def test_an_option_goes_before_the_variable_and_that_before_the_settings(shell: Shell) -> None:
    shell.json("create", "--title", "of the settings")
    shell.set(BLACKBOARD_DB=f"sqlite:///{shell.home}/variable.db")
    shell.json("create", "--title", "of the variable")
    option = ("--db", "sqlite:///option.db")
    shell.json("create", "--title", "of the option", *option)
    shell.json("output", "T-0001", "--text", "x", *option)
    assert (shell.home / "artifacts/T-0001").is_dir()  # beside the file
    assert shell.json("list")[0]["title"] == "of the variable"
    assert shell.json("list", *option)[0]["title"] == "of the option"


def test_the_settings_board_keeps_its_files_where_they_are_however_it_is_called(shell: Shell) -> None:
    shell.set(
        SCHEDULER_STATE_DIR=f"{shell.home}/state", SCHEDULER_DATABASE_URL=f"sqlite:///{shell.home}/b.db"
    )
    shell.json("create", "--title", "x", "--db", "sqlite:///b.db")
    shell.json("output", "T-0001", "--text", "x", "--db", "sqlite:///b.db")
    assert (shell.home / "state/artifacts/T-0001").is_dir()


def test_a_board_that_is_not_there_is_not_made_in_a_directory_that_is_not_there(shell: Shell) -> None:
    database = f"sqlite:///{shell.home}/nowhere/board.db"
    assert shell.error("--db", database, "list") == (5, "database_unavailable")
    assert "blackboard init" in shell("--db", database, "list").err
    shell.json("--db", database, "init")
    assert shell.json("--db", database, "list") == []


@pytest.mark.parametrize(
    "url", ["board.db", "sqlite://", "sqlite:///:memory:", "mysql://x", "sqlite:///~/b.db"]
)
def test_what_is_no_database_is_usage(shell: Shell, url: str) -> None:
    assert shell.error("--db", url, "list") == (2, "usage")


def test_a_database_that_cannot_be_had_is_exit_code_5_without_the_password(shell: Shell) -> None:
    (shell.home / "broken.db").write_bytes(b"this is no database, though it is long enough to be one" * 100)
    assert shell.error("--db", "sqlite:///broken.db", "list") == (5, "database_unavailable")
    url = "postgresql://me:canary-password@127.0.0.1:1/board"
    ended = shell("--db", url, "list")
    assert ended.code == 5
    assert "canary-password" not in ended.out + ended.err


@contextmanager
def locked(file: Path) -> Iterator[None]:
    import sqlite3

    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


def test_a_busy_board_is_exit_code_75(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    from scheduler.blackboard.store import Store

    open_store = Store.open
    monkeypatch.setattr(Store, "open", lambda url, **more: open_store(url, busy_seconds=0.05, **more))
    shell.json("--db", "sqlite:///b.db", "create", "--title", "x")
    with locked(shell.home / "b.db"):
        assert shell.error("--db", "sqlite:///b.db", "stop", "T-0001") == (75, "busy")


@pytest.fixture
def address(shell: Shell) -> Iterator[str]:
    with served(f"sqlite:///{shell.home}/board.db", shell.home / "artifacts") as address:
        yield address


@pytest.fixture
def ticket(shell: Shell, address: str) -> Path:
    """As the daemon writes it: for T-0001, claimed by ada."""
    shell.always("--db", "sqlite:///board.db")
    for title in ("first", "second"):
        shell.json("create", "--title", title)
    claim = shell.json("claim", "T-0001", "--agent", "ada")
    shell.always()
    file = shell.home / "ticket.json"
    file.touch(0o600)
    content = {"url": address, "task": "T-0001", "claim": claim["claim"], "agent": "ada"}
    file.write_text(json.dumps(content), encoding="utf-8")
    return file


def test_with_a_ticket_neither_id_nor_token_nor_name_is_needed(shell: Shell, ticket: Path) -> None:
    shell.always("--ticket", str(ticket))
    assert shell.json("read")["title"] == "first"
    assert shell.json("heartbeat", "--turn", "1")["status"] == "working"
    assert shell.json("comment", "so far so good")["claimant"] == "ada"
    assert shell.json("observe", "T-0001", "odd", "--author", "ada")["claimant"] == "ada"
    (shell.home / "report.md").write_text("# Report\n", encoding="utf-8")
    assert shell.json("output", "--file", "report.md", "--final")["status"] == "review"
    assert shell.json("claim", "T-0002")["task"]["claimant"] == "ada"
    outputs = shell.json("read")["outputs"]
    assert [(output["name"], output["author"], output["final"]) for output in outputs] == [
        ("report.md", "ada", True)
    ]


def test_a_ticket_opens_its_task_alone_and_never_decides(shell: Shell, ticket: Path) -> None:
    shell.set(BLACKBOARD_ADMIN_TOKEN=ADMIN)  # lying about; a ticket does not reach for it
    shell.always("--ticket", str(ticket))
    assert shell.error("heartbeat", "T-0002") == (4, "stale_claim")
    assert shell.error("decide", "T-0001", "--accept") == (4, "forbidden")
    assert shell.error("create", "--title", "x") == (4, "forbidden")
    assert shell.error("set", "T-0001", "--title", "x") == (4, "forbidden")
    assert shell.error("comment", "x", "--author", "paul") == (4, "forbidden")
    shell.json("release", "--reason", "cannot")
    assert shell.error("output", "--text", "late") == (4, "stale_claim")


def test_a_ticket_that_others_may_read_is_used_with_a_warning(shell: Shell, ticket: Path) -> None:
    ticket.chmod(0o644)
    ended = shell("--ticket", str(ticket), "heartbeat", "--json")
    assert ended.code == 0
    assert json.loads(ended.out)["id"] == "T-0001"
    assert "chmod 600" in ended.err


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "{}", '{"url":"http://127.0.0.1:1","task":"T-1","claim":3,"agent":"a"}', "[" * 9999],
)
def test_what_is_no_ticket_is_usage(shell: Shell, content: str) -> None:
    file = shell.home / "ticket.json"
    file.touch(0o600)
    file.write_text(content, encoding="utf-8")
    assert shell.error("--ticket", str(file), "heartbeat") == (2, "usage")


def test_a_ticket_is_a_regular_file(shell: Shell) -> None:
    os.mkfifo(shell.home / "pipe", 0o600)
    for file in ("pipe", ".", "missing"):
        assert shell.error("--ticket", file, "heartbeat") == (2, "usage")


def test_only_one_way_can_be_meant(shell: Shell) -> None:
    assert shell.error("--ticket", "missing", "--db", "sqlite:///b.db", "list") == (2, "usage")
    assert shell.error("--url", "http://127.0.0.1:1", "--db", "sqlite:///b.db", "list") == (2, "usage")


def test_upkeep_is_done_on_the_database(shell: Shell, address: str) -> None:
    for words in (("init",), ("backup", "x"), ("restore", "x", "--yes"), ("doctor",)):
        assert shell.error("--url", address, *words) == (2, "usage")


def test_the_admin_token_of_the_state_directory_is_found(shell: Shell, address: str) -> None:
    assert shell.error("--url", address, "create", "--title", "x")[0] == 4
    token = shell.home / ".local/state/clawpace/scheduler-admin-token"
    token.parent.mkdir(parents=True)
    token.write_text(f"{ADMIN}\n", encoding="ascii")
    assert shell.json("--url", address, "create", "--title", "x")["id"] == "T-0001"
    token.write_text("wrong\n", encoding="ascii")
    assert shell.error("--url", address, "create", "--title", "x") == (4, "unauthorized")
    assert len(shell.json("--url", address, "list")) == 1  # an old one does not stand in the way of reading
    shell.set(BLACKBOARD_ADMIN_TOKEN=ADMIN)
    shell.json("--url", address, "create", "--title", "x")
    shell.set(BLACKBOARD_ADMIN_TOKEN="not a token")
    assert shell.error("--url", address, "list") == (2, "usage")


def test_a_claim_that_is_none_is_told_with_its_place(shell: Shell) -> None:
    shell.set(BLACKBOARD_CLAIM="nonsense")
    assert shell.error("list") == (2, "invalid")
    assert shell("list").err.startswith("$BLACKBOARD_CLAIM: ")


Behaviour = Callable[[socket.socket], object]


@contextmanager
def answering(behave: Behaviour, connections: int = 1) -> Iterator[str]:
    """Something that listens and is no board; for so many connections."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for _ in range(connections):
                connection, _peer = listener.accept()
                with connection:
                    behave(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(timeout=10)


def says(answer: bytes, seen: list[bytes] | None = None) -> Behaviour:
    def behave(connection: socket.socket) -> None:
        request = connection.recv(65_536)
        if seen is not None:
            seen.append(request)
        connection.sendall(answer)

    return behave


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\n{}",
        b'HTTP/1.1 404 No\r\nContent-Length: 13\r\n\r\n{"error":"x"}',
        b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{",
        b"220 mail.example ESMTP\r\n",
        b"",
    ],
)
def test_what_is_no_board_is_exit_code_5(shell: Shell, answer: bytes) -> None:
    with answering(says(answer)) as address:
        ended = shell("--json", "--url", address, "read", "T-0001")
    assert ended.error == (5, "database_unavailable")


def test_the_sidecar_is_no_scheduler_though_it_calls_a_path_not_found(shell: Shell) -> None:
    answer = error_body("not_found", "there is nothing at this path")
    head = b"HTTP/1.1 404 No\r\nContent-Length: %d\r\n\r\n" % len(answer)
    for words in (("read", "T-0001"), ("list",), ("stop", "T-0001"), ("claim", "--next", "--agent", "ada")):
        with answering(says(head + answer), connections=2) as address:
            ended = shell("--url", address, *words)
        assert ended.code == 5
        assert "that is no agent-scheduler" in ended.err


def test_nobody_there_is_exit_code_5(shell: Shell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    assert shell.error("--url", address, "list") == (5, "database_unavailable")
    assert "agent-scheduler" in shell("--url", address, "list").err


def test_silence_is_busy_because_nobody_knows_what_was_written(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scheduler.cli.remote.TIMEOUT_SECONDS", 0.1)
    over = threading.Event()
    with answering(lambda _: over.wait(10)) as address:
        ended = shell("--json", "--url", address, "stop", "T-0001")
        over.set()
    assert ended.error == (75, "busy")


def test_an_unknown_word_of_a_newer_board_is_judged_by_its_status(shell: Shell) -> None:
    answer = b'{"error":{"code":"too_tired","message":"later"}}'
    for status, exit_code in ((409, 4), (404, 3), (422, 2), (401, 4), (503, 5), (418, 1)):
        with answering(
            says(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (status, len(answer), answer))
        ) as at:
            assert shell("--json", "--url", at, "read", "T-0001").error == (exit_code, "too_tired")


def test_no_proxy_is_asked_and_no_token_goes_to_a_stranger(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell.set(
        http_proxy="http://127.0.0.1:1", HTTP_PROXY="http://127.0.0.1:1", ALL_PROXY="http://127.0.0.1:1"
    )
    token = shell.home / ".local/state/clawpace/scheduler-admin-token"
    token.parent.mkdir(parents=True)
    token.write_text("canary-token", encoding="ascii")
    seen: list[bytes] = []
    resolve: Any = socket.getaddrinfo

    def board_is_here(host: str, *rest: Any) -> Any:
        return resolve("127.0.0.1", *rest)

    monkeypatch.setattr(socket, "getaddrinfo", board_is_here)
    with answering(says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", seen)) as address:
        shell("--url", address.replace("127.0.0.1", "board.example"), "stop", "T-0001")
    assert seen[0].startswith(b"POST /api/blackboard/tasks/T-0001/stop HTTP/1.1\r\n")
    assert b"canary-token" not in seen[0]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://127.0.0.1:8083", "http://127.0.0.1:8083"),
        ("http://127.0.0.1:8083/", "http://127.0.0.1:8083"),
        ("https://board.example/clawpace/", "https://board.example:443/clawpace"),
        ("http://[::1]:8083", "http://[::1]:8083"),
        ("http://localhost", "http://localhost:80"),
    ],
)
def test_an_address_is_read(url: str, shown: str) -> None:
    assert str(Address.of(url)) == shown


@pytest.mark.parametrize(
    "url",
    ["", "127.0.0.1:8083", "ftp://x", "http://", "http://a b", "http://u:p@h", "http://h:99999", "http://h?x=1",
     "http://h/\r\nX: y", "http://[::1", "file:///etc/passwd", "http://h#x"],
)  # fmt: skip
def test_what_is_no_address_is_usage(url: str) -> None:
    with pytest.raises(ToldError) as told:
        Address.of(url)
    assert told.value.exit_code == 2


CLAIMED: Final = {
    "at": "2026-03-01T09:30:00.000Z",
    "who": "ada",
    "what": "claim",
    "from": "pending",
    "to": "claimed",
}


@pytest.mark.parametrize("over_http", [False, True])
def test_watch_tells_what_happens_by_either_way(shell: Shell, address: str, over_http: bool) -> None:
    way = ("--url", address) if over_http else ("--db", "sqlite:///board.db")
    shell.json("--db", "sqlite:///board.db", "create", "--title", "x")
    line = Line(Options(db=None if over_http else way[1], url=address if over_http else None), {"HOME": HOME})
    with line.board() as board:
        changes: Any = board.changes(line.credentials(None))
        seen: list[Any] = []
        watching = threading.Thread(target=lambda: seen.extend(next(changes)))
        watching.start()
        for _ in range(100):  # when it begins to look, nothing tells
            shell.json("--db", "sqlite:///board.db", "comment", "T-0001", "look")
            watching.join(timeout=0.1)
            if not watching.is_alive():
                break
        changes.close()
    assert {event["task"] for event in seen} == {"T-0001"}


def test_a_watch_ends_with_exit_code_5_when_its_board_is_gone(shell: Shell) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: hello\n\n"
    with answering(says(answer)) as at:
        assert shell("--url", at, "watch", "--json").error == (5, "database_unavailable")
    told = b'{"error":{"code":"unauthorized","message":"no"}}'
    with answering(says(b"HTTP/1.1 401 No\r\nContent-Length: %d\r\n\r\n%s" % (len(told), told))) as at:
        assert shell("--url", at, "watch", "--json").error == (4, "unauthorized")


def test_watch_tells_each_change_until_somebody_ends_it(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell.json("create", "--title", "x")

    def changes(*_: object) -> Iterator[list[Any]]:
        yield [CLAIMED | {"task": "T-0001"}, CLAIMED | {"task": "T-0002"}]
        raise KeyboardInterrupt

    monkeypatch.setattr("scheduler.cli.direct.DirectBoard.changes", changes)
    ended = shell("watch", "T-0001")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.endswith("  T-0001  claim  ada  pending -> claimed\n")
    assert "T-0002" not in ended.out
    assert shell.error("watch", "T-0099") == (3, "not_found")


@pytest.mark.parametrize("task", ["T-0001", None])
def test_on_a_terminal_watch_goes_on_drawing_and_asks_when_something_has_changed(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, task: str | None
) -> None:
    shell.json("create", "--title", "x" * 200)
    shell.set(COLUMNS="80", LINES="12")
    looked, drawn = threading.Semaphore(0), threading.Semaphore(0)
    looks = list[object]()
    look, show = overview._picture, Screen.show

    def counted_look(*of: Any) -> Any:
        looks.append(of)
        picture = look(*of)
        looked.release()
        return picture

    def counted_show(screen: Screen, draw: Any) -> None:
        show(screen, draw)
        drawn.release()

    def changes(*_: object) -> Iterator[list[Any]]:
        assert looked.acquire(timeout=10)
        for _picture in range(3):
            assert drawn.acquire(timeout=10)
        yield [CLAIMED | {"task": "T-0001"}, CLAIMED | {"task": "T-0002"}]
        assert looked.acquire(timeout=10)
        raise KeyboardInterrupt

    monkeypatch.setattr("scheduler.cli.direct.DirectBoard.changes", changes)
    monkeypatch.setattr(overview, "_picture", counted_look)
    monkeypatch.setattr(overview, "TICK_SECONDS", 0.01)
    monkeypatch.setattr(Screen, "show", counted_show)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    ended = shell("watch", *([task] if task else []))
    assert (ended.code, ended.err, len(looks)) == (0, "", 2)
    assert ended.out.count("\x1b[2J") == 1
    first, *others = ended.out.removeprefix("\x1b[2J\x1b[H").split("\x1b[H")
    assert len(others) >= 3
    for picture in (first, *others):
        lines = re.sub(r"\x1b\[[0-9;]*[mKJ]", "", picture).splitlines()
        assert "Ctrl-C ends it." in lines[0]
        assert len(lines) < 12
        assert max(map(len, lines)) <= 80


def test_a_short_result_is_fetched_over_http(shell: Shell, address: str) -> None:
    here = ("--db", "sqlite:///board.db")
    shell.json(*here, "create", "--title", "x", "--review", "person")
    shell.json(*here, "output", "T-0001", "--text", "all of it", "--name", "all.md")
    shown = shell("--url", address, "read", "T-0001").out
    assert shown.endswith("/outputs/all.md\n\nall of it\n")
