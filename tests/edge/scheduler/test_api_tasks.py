"""The board over HTTP."""

import base64
import json

import pytest

from scheduler.verbs import OUTCOMES
from tests.edge.scheduler.office import ADMIN, TASKS, Office

MADE_UP = "T-0001.1.abcdefghijklmnopqrstuvwx"


async def test_a_task_goes_all_the_way_over_http(office: Office) -> None:
    made = await office.ask("POST", TASKS, {"title": "Count the boxes", "expects": ["nonempty"]})
    assert (made.status, made.header(b"location")) == (201, f"{TASKS}/T-0001".encode())
    task = made.json["id"]
    claim = await office.post(f"{TASKS}/{task}/claim", {"agent": "coo", "ttl": 60})
    assert set(claim) == {"id", "claim", "epoch", "expires_at", "task"}
    token = claim["claim"]
    at = f"{TASKS}/{task}"
    await office.post(f"{at}/heartbeat", {"turn": 3, "note": "half of them"}, token=token)
    await office.post(f"{at}/comment", {"text": "there are many"}, token=token)
    await office.post(f"{at}/observe", {"text": "the door is open"}, token=token)
    handed_in = await office.post(
        f"{at}/output", {"text": "42", "name": "count.txt", "final": True}, token=token
    )
    assert handed_in["status"] == "review"
    assert handed_in["output"]["name"] == "count.txt"
    await office.post(f"{at}/decide", {"by": "ann", "decision": "accept"})
    await office.post(f"{at}/archive")
    full = await office.get(f"{at}?full=1")
    assert (full["status"], full["turns"], full["archived_at"] is None) == ("done", 3, False)
    assert [output["name"] for output in full["outputs"]] == ["count.txt"]
    assert [said["text"] for said in full["comments"]] == ["half of them", "there are many"]
    assert {event["what"] for event in full["events"]} >= {"created", "claim", "submit", "accept", "archive"}
    assert (await office.get(TASKS))["tasks"] == []
    assert len((await office.get(f"{TASKS}?archived=1"))["tasks"]) == 1


async def test_a_list_is_filtered_and_comes_in_pages(office: Office) -> None:
    for number in range(5):
        await office.create(f"number {number}", assignee="coo" if number % 2 else None)
    await office.post(f"{TASKS}/T-0001/block", {"reason": "a question"})
    assert len((await office.get(f"{TASKS}?status=&assignee=&limit=&cursor="))["tasks"]) == 5
    assert [task["id"] for task in (await office.get(f"{TASKS}?assignee=coo"))["tasks"]] == [
        "T-0002",
        "T-0004",
    ]
    both = await office.get(f"{TASKS}?status=blocked,pending&limit=2")
    assert [task["id"] for task in both["tasks"]] == ["T-0001", "T-0002"]
    rest = await office.get(f"{TASKS}?status=blocked&status=pending&cursor={both['next_cursor']}")
    assert [task["id"] for task in rest["tasks"]] == ["T-0003", "T-0004", "T-0005"]
    assert rest["next_cursor"] is None
    assert len((await office.get(f"{TASKS}?claimable=true"))["tasks"]) == 4


@pytest.mark.parametrize(
    "query",
    ["status=odd", "limit=0", "limit=many", "limit=1&limit=2", "cursor=x", "colour=red", "archived=perhaps"],
)
async def test_a_query_that_means_nothing_is_refused(office: Office, query: str) -> None:
    assert await office.error("GET", f"{TASKS}?{query}") == (422, "invalid")


async def test_patch_sets_what_is_given_and_nothing_else(office: Office) -> None:
    task = await office.create("Old words", description="stays")
    changed = await office.ask("PATCH", f"{TASKS}/{task}", {"title": "New words", "priority": "urgent"})
    assert (changed.status, changed.json["title"], changed.json["description"]) == (200, "New words", "stays")
    assert await office.error("PATCH", f"{TASKS}/{task}", {"status": "done"}) == (422, "invalid")
    assert await office.error("PATCH", f"{TASKS}/{task}", {}) == (422, "invalid")


async def test_the_next_claimable_task_can_be_claimed_without_knowing_it(office: Office) -> None:
    assert await office.error("POST", f"{TASKS}/claim", {"agent": "coo"}) == (404, "nothing_claimable")
    await office.create("later", priority="low")
    urgent = await office.create("now", priority="urgent")
    claim = await office.post(f"{TASKS}/claim", {"agent": "coo", "ttl": 60})
    assert claim["id"] == urgent
    further = await office.post(f"{TASKS}/claim", {}, token=claim["claim"])
    assert (further["id"], further["task"]["claimant"]) == ("T-0001", "coo")


async def test_every_verb_of_an_operator_answers_with_the_task(office: Office) -> None:
    task = await office.create()
    at = f"{TASKS}/{task}"
    steps = [
        ("claim", {"agent": "coo"}, "claimed"),
        ("release", {"reason": "not now"}, "pending"),
        ("block", {"reason": "which one?"}, "blocked"),
        ("answer", {"text": "the second"}, "pending"),
        ("stop", {}, "blocked"),
        ("cancel", {"reason": "not needed"}, "failed"),
        ("retry", {}, "pending"),
        ("fail", {"reason": "impossible"}, "failed"),
        ("archive", {}, "failed"),
    ]
    for verb, body, status in steps:
        answer = await office.post(f"{at}/{verb}", body)
        assert answer.get("task", answer)["status"] == status, verb


async def test_refusals_have_the_codes_of_the_contract(office: Office) -> None:
    first = await office.create("first")
    second = await office.create("second", depends_on=[first], assignee="coo")
    risky = await office.create("risky", risk_tools=["delete_file"])
    assert await office.error("POST", f"{TASKS}/{second}/claim", {"agent": "ann"}) == (409, "not_assignee")
    assert await office.error("POST", f"{TASKS}/{second}/claim", {"agent": "coo"}) == (
        409,
        "dependency_unmet",
    )
    await office.claim(first)
    assert await office.error("POST", f"{TASKS}/{first}/claim", {"agent": "ann"}) == (409, "already_claimed")
    assert await office.error("POST", f"{TASKS}/{first}/retry", {}) == (409, "illegal_transition")
    assert await office.error("POST", f"{TASKS}/T-9999/claim", {"agent": "coo"}) == (404, "not_found")
    assert await office.error("POST", f"{TASKS}/{first}/block", {"reason": " "}) == (422, "invalid")
    stale = await office.ask("POST", f"{TASKS}/{first}/comment", {"text": "late"}, token=MADE_UP)
    assert (stale.status, stale.error) == (409, "stale_claim")
    assert risky  # whether its tools are allowed is the settings' to say
    assert {OUTCOMES[code].status for code in OUTCOMES} == {403, 404, 409, 422, 503}


async def test_an_attempt_more_or_less_is_the_settings_to_say(office: Office) -> None:
    task = await office.create()
    assert (await office.get(f"{TASKS}/{task}"))["max_attempts"] == 2


async def test_the_daemon_hears_of_what_may_let_something_start(office: Office) -> None:
    task = await office.create()
    assert office.desk.changes == 1
    token = await office.claim(task)
    await office.post(f"{TASKS}/{task}/heartbeat", {}, token=token)
    await office.post(f"{TASKS}/{task}/comment", {"text": "hm"}, token=token)
    assert office.desk.changes == 1
    await office.post(f"{TASKS}/{task}/release", {}, token=token)
    assert office.desk.changes == 2
    await office.error("POST", f"{TASKS}/{task}/retry", {})
    assert office.desk.changes == 2, "a refused write changes nothing"


async def test_claims_and_answers_are_counted(office: Office) -> None:
    task = await office.create()
    await office.claim(task)
    await office.error("POST", f"{TASKS}/{task}/claim", {"agent": "ann"})
    value = office.metrics.registry.get_sample_value
    assert value("scheduler_claims_total", {"outcome": "claimed"}) == 1
    assert value("scheduler_claims_total", {"outcome": "already_claimed"}) == 1
    assert value("http_requests_total", {"status": "201"}) == 1
    assert value("http_requests_total", {"status": "409"}) == 1


@pytest.mark.parametrize(
    "title",
    [
        "<script>alert(1)</script>",
        "\x1b[31mred\x1b[0m",
        "--force",
        "日本語 \U0001f980",
        "a\tb\nc",
        "\u202eright to left",
        "'; DROP TABLE tasks; --",
    ],
)
async def test_a_title_is_data_whatever_it_says(office: Office, title: str) -> None:
    task = await office.create(title)
    talk = await office.ask("GET", f"{TASKS}/{task}", token=None)
    assert talk.json["title"] == title
    assert talk.header(b"content-type") == b"application/json"
    assert talk.header(b"x-content-type-options") == b"nosniff"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "invalid_json"),
        (b'{"title": NaN}', 400, "invalid_json"),
        (b'{"title": "\xff"}', 400, "invalid_json"),
        (b'{"title": "\\ud83d"}', 400, "invalid_json"),
        (b"[" * 10_000 + b"]" * 10_000, 400, "invalid_json"),
        (b'{"title":' * 10_000 + b"1" + b"}" * 10_000, 400, "invalid_json"),
        (b"[]", 422, "invalid"),
        (b"null", 422, "invalid"),
        (b'"title"', 422, "invalid"),
        (b"{}", 422, "invalid"),
        (b'{"title": 7}', 422, "invalid"),
        (b'{"title": "a\\u0000b"}', 422, "invalid"),
        (b'{"title": ""}', 422, "invalid"),
        (b'{"title": "x", "colour": "red"}', 422, "invalid"),
        (b'{"title": "x", "priority": "highest"}', 422, "invalid"),
        (b'{"title": "x", "assignee": "../etc"}', 422, "invalid"),
        (b'{"title": "x", "max_turns": 1e400}', 400, "invalid_json"),
        (b'{"title": "x", "max_turns": true}', 422, "invalid"),
        (b'{"title": "x", "not_before": "soon"}', 422, "invalid"),
        (b'{"title": "x", "expects": ["command:"]}', 422, "invalid"),
        (b'{"title": "x", "depends_on": ["T-7777"]}', 404, "not_found"),
        (b'{"title": "' + b"x" * 10_240 + b'"}', 422, "invalid"),
    ],
)
async def test_a_body_that_cannot_be_meant_is_refused(
    office: Office, body: bytes, status: int, code: str
) -> None:
    assert await office.error("POST", TASKS, body) == (status, code)
    assert (await office.get(TASKS))["tasks"] == []


@pytest.mark.parametrize(
    "task",
    ["0001", "T-1", "t-0001", "T-00001", "T-0001%20", "T-0001%3B", "%D9%A1", "T-" + "9" * 400, "claim", "-1"],
)
async def test_an_id_that_never_was_one_is_not_found(office: Office, task: str) -> None:
    await office.create()
    assert await office.error("GET", f"{TASKS}/{task}") == (404, "not_found")
    assert await office.error("PATCH", f"{TASKS}/{task}", {"title": "x"}) == (404, "not_found")


async def test_what_only_the_addressed_path_has_is_served(office: Office) -> None:
    assert await office.error("GET", "/api/blackboard") == (404, "not_found")
    assert await office.error("GET", f"{TASKS}/") == (404, "not_found")
    assert await office.error("POST", f"{TASKS}/T-0001/explode", {}) == (404, "not_found")
    assert await office.error("POST", f"{TASKS}/T-0001/set", {}) == (404, "not_found")
    for method, path, allowed in (
        ("DELETE", f"{TASKS}/T-0001", b"GET, HEAD, PATCH"),
        ("PUT", TASKS, b"GET, HEAD, POST"),
        ("GET", f"{TASKS}/T-0001/claim", b"POST"),
        ("POST", "/health", b"GET, HEAD"),
    ):
        talk = await office.ask(method, path)
        assert (talk.status, talk.error, talk.header(b"allow")) == (405, "invalid_request", allowed)


async def test_head_asks_for_everything_but_the_body(office: Office) -> None:
    await office.create()
    talk = await office.ask("HEAD", TASKS, token=None)
    assert (talk.status, talk.body) == (200, b"")


async def test_an_empty_body_says_nothing_more(office: Office) -> None:
    task = await office.create()
    assert (await office.ask("POST", f"{TASKS}/{task}/stop")).status == 200
    assert (await office.ask("POST", f"{TASKS}/{task}/answer", b" \n")).error == "invalid", (
        "an answer is missing"
    )
    assert (await office.ask("POST", f"{TASKS}/{task}/cancel")).error == "invalid", "a reason is missing"


async def test_content_may_come_as_text_or_as_base64_and_is_kept_byte_for_byte(office: Office) -> None:
    task = await office.create()
    content = bytes(range(256))
    token = await office.claim(task)
    await office.post(
        f"{TASKS}/{task}/output",
        {"content_base64": base64.b64encode(content).decode(), "name": "all.bin"},
        token=token,
    )
    talk = await office.ask("GET", f"{TASKS}/{task}/outputs/all.bin", token=None)
    assert talk.body == content
    for body in ({"content_base64": "not base64!"}, {"text": "a", "content_base64": "YQ=="}, {"name": "x"}):
        assert await office.error("POST", f"{TASKS}/{task}/output", body, token=token) == (422, "invalid")


async def test_the_claim_may_come_in_the_body_as_the_command_line_calls_it(office: Office) -> None:
    task = await office.create()
    token = await office.claim(task)
    at = f"{TASKS}/{task}"
    assert (await office.ask("POST", f"{at}/heartbeat", {"claim": token}, token=None)).status == 200
    await office.post(f"{at}/release", {"claim": token}, token=ADMIN)
    assert await office.error("POST", f"{at}/heartbeat", {"claim": token}, token=None) == (409, "stale_claim")
    assert await office.error("POST", f"{at}/heartbeat", {"claim": "x"}, token=None) == (422, "invalid")


async def test_a_database_that_is_away_is_said_and_not_guessed(office: Office, tmp_path: object) -> None:
    await office.create()

    def away(*_: object, **__: object) -> None:
        from scheduler.blackboard.errors import BoardBusy, BoardUnavailable

        raise (BoardBusy if busy else BoardUnavailable)("the disk is elsewhere")

    office.store.task = office.store.create = away  # type: ignore[method-assign,assignment]
    busy = False
    assert await office.error("GET", f"{TASKS}/T-0001") == (503, "database_unavailable")
    assert await office.error("POST", TASKS, {"title": "x"}) == (503, "database_unavailable")
    busy = True
    talk = await office.ask("POST", TASKS, {"title": "x"})
    assert (talk.status, talk.error) == (503, "busy")
    assert talk.number(b"retry-after") > 0


async def test_answers_are_for_now_and_for_nobodys_cache(office: Office) -> None:
    talk = await office.ask("GET", TASKS, token=None)
    assert talk.header(b"cache-control") == b"no-store"
    assert talk.header(b"access-control-allow-origin") is None
    assert json.loads(talk.body) == {"tasks": [], "next_cursor": None}
