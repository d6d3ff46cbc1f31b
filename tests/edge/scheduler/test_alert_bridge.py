"""What Alertmanager tells stands in the outbox before it is answered 200, once, for the right people."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from scheduler.alerts import build_bridge
from scheduler.blackboard.errors import BoardBusy, BoardUnavailable
from scheduler.blackboard.store import Store
from scheduler.core.records import Notice
from scheduler.notifications.card import Level, read_card
from shared.asgi import Receive, Scope, Send
from shared.guard import Guard
from tests.core.scheduler.test_letters import a_roster
from tests.edge.asgi import Client, Talk
from tests.edge.scheduler.office import JSON, Denials
from tests.fresh_board import fresh_board
from tests.on_the_board import notices
from tests.shell.scheduler.test_notifier import FlakyBoard

TOKEN = "token-of-the-alert-bridge"
# As Alertmanager 0.27 sends it.
ALERT: dict[str, Any] = {
    "status": "firing",
    "labels": {"alertname": "HostDown", "instance": "db:9100", "severity": "critical"},
    "annotations": {
        "summary": "db is down",
        "description": "for 5 minutes",
        "dashboard": "https://grafana.example/d/1",
    },
    "startsAt": "2026-03-01T09:30:00.123456789Z",
    "endsAt": "0001-01-01T00:00:00Z",
    "generatorURL": "http://prometheus.example/graph?g0.expr=up",
    "fingerprint": "c4ee1e2a4b3a7d11",
}


def message(*alerts: Any, **more: Any) -> dict[str, Any]:
    return {
        "version": "4",
        "groupKey": '{}:{alertname="HostDown"}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "clawpace",
        "groupLabels": {"alertname": "HostDown"},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager.example",
        "alerts": list(alerts),
        **more,
    }


def an_alert(severity: str | None = "critical", **more: Any) -> dict[str, Any]:
    labels = {"alertname": "HostDown", **({} if severity is None else {"severity": severity})}
    return {**ALERT, "labels": labels, **more}


class Bridge:
    """A bridge on a real board, behind its guard."""

    def __init__(
        self, store: Store, nursery: trio.Nursery, *, token: str = TOKEN, host: str = "127.0.0.1"
    ) -> None:
        self.store, self.board, self.denials = store, FlakyBoard(store), Denials()
        self.woken = 0
        app = build_bridge(
            self.board,
            token,
            listen_host=host,
            roster=lambda: replace(a_roster(), timezone="Asia/Shanghai"),
            told=self._told,
            record=self.denials,
        )
        guarded = Guard(app, allowed_hosts=(), listen_host=host)

        async def as_a_server(scope: Scope, receive: Receive, send: Send) -> None:
            scope["path"] = unquote(scope["raw_path"].decode("ascii"))
            await guarded(scope, receive, send)

        self._client = Client(as_a_server, nursery)

    def _told(self) -> None:
        self.woken += 1

    async def post(
        self, body: Any, *, token: str | None = TOKEN, headers: tuple[tuple[bytes, bytes], ...] = (JSON,)
    ) -> Talk:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        given = [*headers, (b"content-length", b"%d" % len(content))]
        if token is not None:
            given.append((b"authorization", f"Bearer {token}".encode()))
        return await self._client.begin("POST", b"/webhook", content, headers=given).answered()

    async def ask(self, method: str, path: bytes) -> Talk:
        return await self._client.begin(method, path, headers=[]).answered()

    @property
    def kept(self) -> list[Notice]:
        return notices(self.store)

    async def keeps(self, *alerts: Any, **more: Any) -> list[Notice]:
        talk = await self.post(message(*alerts, **more))
        assert talk.status == 200, talk.body
        assert talk.json == {"alerts": len(alerts)}
        return self.kept


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store.open(fresh_board(tmp_path / "board.db"), artifacts=tmp_path / "artifacts")
    yield store
    store.close()


@pytest.fixture
async def bridge(store: Store, nursery: trio.Nursery) -> Bridge:
    return Bridge(store, nursery)


async def test_an_alert_stands_in_the_outbox_when_it_is_answered(bridge: Bridge) -> None:
    (notice,) = await bridge.keeps(ALERT)
    assert notice.to == "critical"
    assert notice.urgent
    assert notice.cause == "alert:c4ee1e2a4b3a7d11:2026-03-01T09:30:00.123456789Z:firing"
    assert notice.text == (
        "FIRING: HostDown (critical)\n"
        "db is down\nfor 5 minutes\n"
        "Since: 2026-03-01 17:30:00 Asia/Shanghai\n"
        "instance: db:9100\n"
        "https://grafana.example/d/1"
    )
    assert bridge.woken == 1


async def test_its_card_holds_all_that_there_is_to_it(bridge: Bridge) -> None:
    (notice,) = await bridge.keeps(ALERT)
    assert notice.card is not None
    card = read_card(notice.card)
    assert card is not None
    assert (card.title, card.level, card.link) == (
        "FIRING: HostDown",
        Level.CRITICAL,
        "https://grafana.example/d/1",
    )
    assert card.fields == (
        ("Severity", "critical"),
        ("Since", "2026-03-01 17:30:00 Asia/Shanghai"),
        ("instance", "db:9100"),
    )
    assert card.details == "db is down\nfor 5 minutes"


async def test_what_is_over_is_news_and_says_when(bridge: Bridge) -> None:
    over = {**ALERT, "status": "resolved", "endsAt": "2026-03-01T10:00:00Z"}
    _, notice = await bridge.keeps(ALERT, over)
    assert notice.text.startswith("RESOLVED: HostDown (critical)")
    assert "Resolved: 2026-03-01 18:00:00 Asia/Shanghai" in notice.text
    assert notice.urgent
    assert notice.card is not None
    assert notice.card["level"] == "resolved"


async def test_the_same_state_of_the_same_alert_is_told_once(bridge: Bridge) -> None:
    again = {**ALERT, "startsAt": "2026-03-02T09:30:00Z"}
    other = {**ALERT, "fingerprint": "0000000000000000"}
    over = {**ALERT, "status": "resolved"}
    for _ in range(3):
        kept = await bridge.keeps(ALERT, again, other, over)
    assert len(kept) == 4


@pytest.mark.parametrize(
    ("severity", "to", "urgent"),
    [
        ("critical", "critical", True),
        ("Critical ", "critical", True),
        ("warning", "warning", False),
        ("info", "default", False),
        (None, "default", False),
    ],
)
async def test_its_severity_says_whom_it_is_for(
    bridge: Bridge, severity: str | None, to: str, urgent: bool
) -> None:
    (notice,) = await bridge.keeps(an_alert(severity))
    assert (notice.to, notice.urgent) == (to, urgent)


@pytest.mark.parametrize(
    ("annotations", "generator", "link"),
    [
        ({"dashboard_url": "https://a.example/"}, "http://p.example/", "https://a.example/"),
        ({"dashboard": "Node exporter"}, "http://p.example/", "http://p.example/"),
        ({}, "", "http://alertmanager.example"),
        ({"dashboard": "javascript:alert(1)"}, "file:///etc", "http://alertmanager.example"),
    ],
)
async def test_its_link_is_the_first_that_is_an_address(
    bridge: Bridge, annotations: dict[str, str], generator: str, link: str
) -> None:
    (notice,) = await bridge.keeps({**ALERT, "annotations": annotations, "generatorURL": generator})
    assert notice.card is not None
    assert notice.card["link"] == link


async def test_what_is_missing_or_new_does_no_harm(bridge: Bridge) -> None:
    bare = {"status": "firing", "labels": None, "annotations": {"summary": 7, "more": [1]}, "new": {}}
    (notice,) = await bridge.keeps(bare, version="5", new=1)
    assert notice.text == (
        "FIRING: Alert without a name (no severity)\n7\nSince: unknown\nhttp://alertmanager.example"
    )
    assert await bridge.keeps() == [notice], "a message without alerts is none"


async def test_an_alert_without_a_fingerprint_is_known_by_its_labels(bridge: Bridge) -> None:
    one = {**ALERT, "fingerprint": None}
    other = {**an_alert(), "fingerprint": None}
    await bridge.keeps(one, other)
    assert len(await bridge.keeps(one, other)) == 2


async def test_odd_text_is_kept_and_shown_as_far_as_it_can_be(bridge: Bridge) -> None:
    odd = {
        **ALERT,
        "labels": {
            "alertname": "A\0\x1b[31m\ud83d",
            "x" * 5000: "y" * 5000,
            **{f"l{n}": "v" for n in range(40)},
        },
        "annotations": {"description": "d" * 1_000_000},
        "startsAt": "yesterday",
        "fingerprint": "f" * 5000,
    }
    (notice,) = await bridge.keeps(odd)
    assert notice.text.startswith("FIRING: A\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}[31m")
    assert "Since: yesterday" in notice.text
    assert "25 further labels" in notice.text
    assert len(notice.text) < 20_000
    assert len(notice.cause) < 200
    assert len(await bridge.keeps(odd)) == 1


async def test_a_time_that_no_calendar_here_holds_is_shown_as_it_came(bridge: Bridge) -> None:
    (notice,) = await bridge.keeps({**ALERT, "startsAt": "0001-01-01T00:00:00+14:00"})
    assert "Since: 0001-01-01T00:00:00+14:00" in notice.text


# -- what is not kept is not answered 200 -------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b"[]",
        b'"x"',
        {},
        {"alerts": None},
        message(7),
        message(ALERT, {**ALERT, "status": "pending"}),
        message({**ALERT, "labels": []}),
        message({**ALERT, "annotations": "x"}),
    ],
)
async def test_what_is_no_message_is_refused_as_a_whole_and_logged(bridge: Bridge, body: Any) -> None:
    with capture_logs() as lines:
        talk = await bridge.post(body)
    assert (talk.status, talk.error) == (400, "invalid_request")
    assert bridge.kept == []
    assert bridge.woken == 0
    assert [line["event"] for line in lines] == ["alerts_refused"]


async def test_while_the_board_is_away_alertmanager_is_to_ask_again(bridge: Bridge) -> None:
    for away in (BoardUnavailable("the disk is full"), BoardBusy("locked")):
        bridge.board.away = away
        talk = await bridge.post(message(ALERT))
        assert talk.status == 503
        assert talk.error in {"database_unavailable", "busy"}
    bridge.board.away = None
    assert len(await bridge.keeps(ALERT)) == 1


async def test_a_body_that_is_too_large_is_refused_by_its_length(bridge: Bridge) -> None:
    talk = await bridge.post(b" " * (4 * 1024 * 1024 + 1))
    assert (talk.status, talk.error) == (413, "body_too_large")


@pytest.mark.parametrize(
    "headers",
    [
        (),
        ((b"content-type", b"text/plain"),),
        (JSON, JSON),
        ((b"content-type", b"application/x-www-form-urlencoded"),),
    ],
)
async def test_only_json_is_read(bridge: Bridge, headers: tuple[tuple[bytes, bytes], ...]) -> None:
    talk = await bridge.post(message(ALERT), headers=headers)
    assert talk.status == 415
    assert bridge.kept == []


async def test_json_may_say_its_charset(bridge: Bridge) -> None:
    talk = await bridge.post(message(ALERT), headers=((b"content-type", b"application/json; charset=utf-8"),))
    assert talk.status == 200


async def test_there_is_nothing_else(bridge: Bridge) -> None:
    for method, path, status in (
        ("GET", b"/", 404),
        ("POST", b"/webhook/", 404),
        ("GET", b"/webhook", 405),
        ("POST", b"/health", 405),
    ):
        talk = await bridge.ask(method, path)
        assert talk.status == status
        assert talk.error
    assert (await bridge.ask("GET", b"/webhook")).header(b"allow") == b"POST"


# -- who may -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", [None, "", "wrong", TOKEN + "x", TOKEN[:-1]])
async def test_without_its_token_nothing_is_kept_and_the_audit_log_hears_of_it(
    bridge: Bridge, token: str | None
) -> None:
    talk = await bridge.post(message(ALERT), token=token)
    assert (talk.status, talk.error) == (401, "unauthorized")
    assert talk.header(b"www-authenticate") is not None
    assert TOKEN.encode() not in talk.body
    assert bridge.kept == []
    assert bridge.denials == [("nobody", "/webhook", "unauthorized")]


async def test_two_tokens_are_none(bridge: Bridge) -> None:
    right = (b"authorization", f"Bearer {TOKEN}".encode())
    assert (await bridge.post(message(ALERT), headers=(JSON, right))).status == 401


@pytest.mark.parametrize("token", [None, "whatever"])
async def test_without_a_token_of_ours_all_on_this_machine_may(
    store: Store, nursery: trio.Nursery, token: str | None
) -> None:
    bridge = Bridge(store, nursery, token="")
    assert (await bridge.post(message(ALERT), token=token)).status == 200


async def test_without_a_token_of_ours_nobody_may_where_others_reach_the_port(
    store: Store, nursery: trio.Nursery
) -> None:
    bridge = Bridge(store, nursery, token="", host="0.0.0.0")  # noqa: S104 - nothing listens
    talk = await bridge.post(message(ALERT), token="whatever")
    assert talk.status == 401
    assert b"SCHEDULER_ALERT_TOKEN" in talk.body


async def test_a_page_in_a_browser_may_not(bridge: Bridge) -> None:
    headers = (JSON, (b"origin", b"https://evil.example"))
    assert (await bridge.post(message(ALERT), headers=headers)).status == 403


# -- how it is -----------------------------------------------------------------------------------------------


async def test_its_health_is_that_of_the_board_and_open_to_all(bridge: Bridge) -> None:
    talk = await bridge.ask("GET", b"/health")
    assert talk.status == 200
    assert talk.json["status"] == "healthy"
    assert talk.json["components"] == {"database": {"status": "healthy"}}
    assert (await bridge.ask("HEAD", b"/health")).status == 200
    bridge.board.away = BoardUnavailable("the disk is full")
    talk = await bridge.ask("GET", b"/health")
    assert talk.status == 503
    assert talk.json["components"] == {"database": {"status": "unhealthy", "reason": "the disk is full"}}


async def test_a_board_that_does_not_answer_is_not_waited_for(
    bridge: Bridge, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: object) -> None:
        await trio.sleep_forever()

    monkeypatch.setattr(bridge.board, "read", never)
    talk = await bridge.ask("GET", b"/health")
    assert talk.status == 503
    assert talk.json["components"]["database"]["reason"] == "no answer within 2 s"


async def test_a_client_that_has_gone_is_not_answered(store: Store, nursery: trio.Nursery) -> None:
    bridge = Bridge(store, nursery)
    headers = [JSON, (b"content-length", b"100"), (b"authorization", f"Bearer {TOKEN}".encode())]
    talk = bridge._client.begin("POST", b"/webhook", b"{", headers=headers, more_to_come=True)
    talk.hang_up()
    await talk.cut()
    assert talk.status is None
    assert bridge.kept == []
