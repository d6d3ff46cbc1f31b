"""Who may do what over HTTP."""

from pathlib import Path

import pytest
import trio

from scheduler.api.identity import Identity, is_loopback
from scheduler.verbs import VERBS
from tests.edge.scheduler.office import ADMIN, TASKS, Office

MADE_UP = "T-0001.1.abcdefghijklmnopqrstuvwx"
WRITES = [
    ("POST", TASKS, {"title": "x"}),
    ("PATCH", f"{TASKS}/T-0001", {"title": "x"}),
    ("POST", f"{TASKS}/claim", {"agent": "coo"}),
    *(("POST", f"{TASKS}/T-0001/{verb}", {}) for verb in ("claim", "output", "decide", "stop", "archive")),
    *(("POST", f"/api/daemon/{verb}", {}) for verb in ("tick", "stop", "start", "pause", "resume")),
]


@pytest.mark.parametrize(("method", "path", "body"), WRITES)
@pytest.mark.parametrize(
    "token", [None, "", "wrong", f"{ADMIN}x", ADMIN[:-1], "\u00e9", "T-0001.1.short", "null"]
)
async def test_a_write_without_the_right_token_is_refused_and_noted(
    office: Office, method: str, path: str, body: object, token: str | None
) -> None:
    await office.create()
    talk = await office.ask(method, path, body, token=token)
    assert (talk.status, talk.error) == (401, "unauthorized")
    assert talk.header(b"www-authenticate") == b'Bearer realm="clawpace"'
    assert [outcome for _, _, outcome in office.denials] == ["unauthorized"]
    assert (office.desk.ticks, office.desk.ticking) == (0, True)
    assert await office.status_of("T-0001") == "pending"


@pytest.mark.parametrize(
    "authorization",
    [
        b"Basic " + ADMIN.encode(),
        ADMIN.encode(),
        b"Bearer",
        b"Bearer  ",
        b"",
        b"Bearer " + ADMIN.encode() + b" x",
    ],
)
async def test_only_a_bearer_token_is_one(office: Office, authorization: bytes) -> None:
    headers = [(b"authorization", authorization)]
    assert await office.error("POST", TASKS, {"title": "x"}, token=None, headers=headers) == (
        401,
        "unauthorized",
    )


async def test_two_tokens_are_none(office: Office) -> None:
    headers = [(b"authorization", b"Bearer " + ADMIN.encode())]
    assert await office.error("POST", TASKS, {"title": "x"}, headers=headers) == (401, "unauthorized")


async def test_the_scheme_is_read_as_http_says(office: Office) -> None:
    headers = [(b"authorization", b"bEaReR   " + ADMIN.encode())]
    assert (await office.ask("POST", TASKS, {"title": "x"}, token=None, headers=headers)).status == 201


async def test_a_claim_token_does_what_section_two_allows_and_no_more(office: Office) -> None:
    task = await office.create()
    token = await office.claim(task)
    bodies = {"answer": {"text": "x"}, "cancel": {"reason": "x"}, "decide": {"accept": True}}
    for verb in ("decide", "retry", "stop", "cancel", "answer", "archive"):
        said = await office.error("POST", f"{TASKS}/{task}/{verb}", bodies.get(verb, {}), token=token)
        assert said == (403, "forbidden"), verb
    assert await office.error("PATCH", f"{TASKS}/{task}", {"title": "x"}, token=token) == (403, "forbidden")
    assert await office.error("POST", TASKS, {"title": "x"}, token=token) == (403, "forbidden")
    for path in ("tick", "stop", "start", "pause", "resume"):
        assert await office.error("POST", f"/api/daemon/{path}", {}, token=token) == (403, "forbidden")
    assert await office.status_of(task) == "claimed"
    assert {actor for actor, _, _ in office.denials} == {f"the claim {task}.1"}
    assert {name for name, verb in VERBS.items() if verb.holders} == {
        "list",
        "read",
        "claim",
        "claim-next",
        "release",
        "heartbeat",
        "output",
        "comment",
        "observe",
        "block",
        "fail",
    }


async def test_what_is_noted_of_a_denied_write_holds_no_secret(office: Office) -> None:
    task = await office.create()
    token = await office.claim(task)
    await office.error("POST", f"{TASKS}/{task}/archive", {}, token=token)
    await office.error("POST", "/api/daemon/tick", {}, token="a-guess")
    await office.error("PATCH", f"{TASKS}/{task}", {"title": "x"}, token=None)
    assert office.denials == [
        (f"the claim {task}.1", task, "forbidden"),
        ("a wrong token", "/api/daemon/tick", "unauthorized"),
        ("nobody", task, "unauthorized"),
    ]
    assert token.rpartition(".")[2] not in repr(office.denials)
    body = {"text": "x", "author": "ann", "claim": token}
    assert await office.error("POST", f"{TASKS}/{task}/comment", body) == (403, "forbidden")
    assert office.denials[-1] == ("admin", task, "forbidden")


async def test_a_claim_speaks_for_its_own_task_and_agent_alone(office: Office) -> None:
    mine, other = await office.create("mine"), await office.create("other")
    token = await office.claim(mine)
    assert await office.error("POST", f"{TASKS}/{other}/comment", {"text": "x"}, token=token) == (
        409,
        "stale_claim",
    )
    said = await office.error("POST", f"{TASKS}/{mine}/comment", {"text": "x", "author": "ann"}, token=token)
    assert said == (403, "forbidden")
    said = await office.error("POST", f"{TASKS}/{other}/claim", {"agent": "ann"}, token=token)
    assert said == (403, "forbidden")
    assert (await office.post(f"{TASKS}/{other}/claim", {}, token=token))["task"]["claimant"] == "coo"


async def test_reading_is_open_on_loopback_whatever_token_comes_along(office: Office) -> None:
    await office.create()
    for token in (None, "wrong", ADMIN, MADE_UP):
        for path in (TASKS, f"{TASKS}/T-0001", "/api/daemon/status", "/health", "/version", "/"):
            assert (await office.ask("GET", path, token=token)).status == 200
    assert office.denials == []


async def test_beyond_loopback_reading_needs_a_token_that_holds(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    office = Office(tmp_path, nursery, listen_host="192.0.2.1")
    task = await office.create()
    token = await office.claim(task)
    for path in (TASKS, f"{TASKS}/{task}", "/api/daemon/status", "/api/events", f"{TASKS}/{task}/outputs/1"):
        for wrong in (None, "wrong", MADE_UP):
            assert await office.error("GET", path, token=wrong) == (401, "unauthorized"), path
    for right in (ADMIN, token):
        assert (await office.ask("GET", TASKS, token=right)).status == 200
    await office.post(f"{TASKS}/{task}/release", token=token)
    assert await office.error("GET", TASKS, token=token) == (401, "unauthorized")
    for path in ("/health", "/version", "/openapi.json", "/"):
        assert (await office.ask("GET", path, token=None)).status == 200
    office.store.close()


def test_without_an_admin_token_there_is_no_api() -> None:
    with pytest.raises(ValueError, match="empty admin token"):
        Identity("", listen_host="127.0.0.1")


@pytest.mark.parametrize(
    ("host", "alone"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),  # noqa: S104 - asked about, not bound to
        ("::", False),
        ("192.0.2.1", False),
        ("board.example", False),
    ],
)
def test_loopback_is_what_only_this_machine_can_reach(host: str, alone: bool) -> None:
    assert is_loopback(host) is alone


def test_an_identity_does_not_show_its_token() -> None:
    assert ADMIN not in repr(Identity(ADMIN, listen_host="127.0.0.1"))
