"""What the gateway, its command line or the machine do wrong, and what then must not happen.

Against the stand-in, which can be told to; what it is told to was seen of OpenClaw 2026.9.6, word for word.
"""

import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from scheduler.core.runs import SETTLED_AFTER_SECONDS, standing
from scheduler.core.sighting import RunRef, RunSeen, RunState, Sighting
from scheduler.gateway import AnswerLostError, Gateway, GatewayDownError, GatewayError, OpenClawError
from scheduler.runs import OpenClawRunner, Order, StartState
from scheduler.runs import sessions as sessions_file
from tests.integration.processes import until
from tests.openclaw_stand_in import StandIn

pytestmark = [pytest.mark.integration, pytest.mark.needs("minutes")]

ORDER = Order(
    task_id="T-1",
    epoch=1,
    agent="ops",
    session_key="agent:ops:task-t-1-1",
    run_id="T-1.1",
    prompt="Do T-1.",
    priority="normal",
    ticket_file="/nowhere/T-1.1.json",
)
URGENT = Order(**{**{name: getattr(ORDER, name) for name in ORDER.__slots__}, "priority": "urgent"})
REF = RunRef(ORDER.run_id, ORDER.session_key, ORDER.agent)


@pytest.fixture
def stand_in(tmp_path: Path) -> StandIn:
    return StandIn(tmp_path, agents=("main", "ops"))


def a_runner(stand_in: StandIn, *, timeout_seconds: float = 30.0) -> OpenClawRunner:
    return OpenClawRunner(Gateway(stand_in.command, stand_in.environ, timeout_seconds=timeout_seconds))


async def look(runner: OpenClawRunner) -> RunSeen:
    return (await runner.look([REF])).runs[REF.run_id]


# -- somebody else has the files --------------------------------------------------------------------------


OCCUPIED = """#!/bin/sh
echo >> "$0.asked"
test "$(wc -l < "$0.asked")" -gt {times} && echo '{{"cards":[]}}' && exit 0
echo '{{"ok":false,"error":{{"type":"cli_error","message":"another OpenClaw process owns state-lifecycle"}}}}'
exit 1
"""


async def ask_while_occupied(directory: Path, *, times: int, monkeypatch: pytest.MonkeyPatch) -> object:
    """What `workboard list` comes to where the first `times` that it is asked find the files occupied."""
    monkeypatch.setattr("scheduler.gateway.AGAIN_AFTER_SECONDS", (0.01, 0.01))
    program = directory / "openclaw"
    program.write_text(OCCUPIED.format(times=times))
    program.chmod(0o755)
    return await Gateway([str(program)], {"PATH": "/usr/bin:/bin"}).ask("workboard", "list")


async def test_a_command_that_found_the_files_occupied_is_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that begins takes them for a moment: no source is away for that."""
    assert await ask_while_occupied(tmp_path, times=2, monkeypatch=monkeypatch) == {"cards": []}


async def test_files_that_stay_occupied_are_a_refusal_of_the_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(GatewayError, match="another OpenClaw process") as refused:
        await ask_while_occupied(tmp_path, times=3, monkeypatch=monkeypatch)
    assert not refused.value.final


# -- starts of which nobody knows what came ---------------------------------------------------------------


async def test_a_start_whose_command_dies_before_it_answers_is_unproven_and_repeated_it_is_still_one(
    stand_in: StandIn,
) -> None:
    stand_in.script(ends="never", crash=True)
    runner = a_runner(stand_in)
    assert (await runner.start(ORDER)).state is StartState.UNPROVEN
    assert (await look(runner)).state is RunState.RUNNING
    assert (await runner.start(ORDER)).state is StartState.STARTED
    assert stand_in.starts_of(ORDER.run_id) == 1


async def test_a_start_that_is_answered_with_garbage_is_unproven(stand_in: StandIn) -> None:
    runner = a_runner(stand_in)
    stand_in.garble()
    assert (await runner.start(ORDER)).state is StartState.UNPROVEN
    assert stand_in.starts() == []  # the look before it was not understood either, so nothing was risked


async def test_an_answer_about_another_run_proves_nothing(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers_otherwise(monkeypatch, "agent", {"runId": "T-9.1", "status": "accepted"})
    assert (await a_runner(stand_in).start(ORDER)).state is StartState.UNPROVEN


async def test_a_start_that_is_accepted_after_we_gave_up_is_begun_once(stand_in: StandIn) -> None:
    await a_runner(stand_in).start(ORDER)
    # The daemon that asked has ended meanwhile; the one after it knows nothing but its board.
    assert (await a_runner(stand_in).start(ORDER)).state is StartState.STARTED
    assert stand_in.starts_of(ORDER.run_id) == 1


async def test_a_run_that_was_accepted_and_forgotten_is_absent_after_a_minute_and_not_begun_again(
    stand_in: StandIn,
) -> None:
    stand_in.script(begins=False)
    runner = a_runner(stand_in)
    assert (await runner.start(ORDER)).state is StartState.STARTED
    stand_in.go_down()
    stand_in.come_back()
    assert (await look(runner)).state is RunState.UNKNOWN
    session = stand_in.session(ORDER.session_key)
    later = session["updatedAt"] / 1000 + SETTLED_AFTER_SECONDS
    assert standing(session, later) is RunState.ABSENT
    again = await runner.start(ORDER)
    assert again.state is StartState.UNPROVEN
    assert "submit a new turn" in again.reason
    assert stand_in.starts_of(ORDER.run_id) == 1


async def test_a_run_that_ended_before_a_restart_is_not_begun_again_after_it(stand_in: StandIn) -> None:
    stand_in.script(answer="Done.")
    runner = a_runner(stand_in)
    await runner.start(ORDER)
    await until_ended(runner)
    stand_in.go_down()
    stand_in.come_back()
    assert (await runner.start(ORDER)).state is StartState.STARTED
    ended = await look(runner)
    assert (ended.state, ended.answer) == (RunState.OK, "Done.")
    assert stand_in.starts_of(ORDER.run_id) == 1


# -- a command line that does not work ----------------------------------------------------------------------


async def test_without_openclaw_nothing_is_up_and_nothing_was_sent(tmp_path: Path) -> None:
    runner = OpenClawRunner(Gateway([str(tmp_path / "openclaw")], {}))
    assert (await runner.start(ORDER)).state is StartState.GATEWAY_DOWN
    sighting = await runner.look([REF])
    assert not sighting.up
    assert "openclaw is not there" in sighting.error
    assert sighting.runs[REF.run_id].state is RunState.UNKNOWN
    assert not await runner.stop(ORDER.session_key)
    assert not await runner.archive(ORDER.session_key, tmp_path / "session")


@pytest.mark.parametrize("garbage", ["", "Segmentation fault\n", "[]", '{"sessions":{}}', '{"sessions":[7]}'])
async def test_from_an_answer_that_is_none_nothing_is_concluded(stand_in: StandIn, garbage: str) -> None:
    runner = a_runner(stand_in)
    stand_in.garble(garbage)
    sighting = await runner.look([REF])
    assert not sighting.up
    assert sighting.error
    assert sighting.runs[REF.run_id].state is RunState.UNKNOWN
    assert not await runner.stop(ORDER.session_key)


async def test_a_command_line_that_does_not_end_is_ended(stand_in: StandIn) -> None:
    stand_in.slow(600)
    runner = a_runner(stand_in, timeout_seconds=1)
    sighting = await runner.look([REF])
    assert not sighting.up
    assert "did not end within 1 s" in sighting.error


async def test_an_ended_run_whose_transcript_cannot_be_read_is_not_called_ended_yet(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in.script(after_looks=0)
    runner = a_runner(stand_in)
    await runner.start(ORDER)
    answers_otherwise(monkeypatch, "chat.history", {})
    answers_otherwise(monkeypatch, "agent.wait", {"runId": ORDER.run_id, "status": "timeout"})
    assert (await look(runner)).state is RunState.UNKNOWN


# -- what is not ours, what is not there --------------------------------------------------------------------


async def test_a_session_that_is_not_ours_is_neither_stopped_nor_archived(
    stand_in: StandIn, tmp_path: Path
) -> None:
    stand_in.person_talks("ops")
    runner = a_runner(stand_in)
    with capture_logs() as logs:
        assert not await runner.stop("agent:ops:main")
        assert not await runner.archive("agent:ops:main", tmp_path / "session")
    assert [line["event"] for line in logs] == ["session_not_ours"] * 2
    assert stand_in.calls() == []


async def test_an_agent_that_a_person_talks_with_is_busy_and_one_of_our_own_runs_makes_nobody_busy(
    stand_in: StandIn,
) -> None:
    stand_in.script(ends="never")
    runner = a_runner(stand_in)
    await runner.start(ORDER)
    assert (await runner.look([REF])).busy_agents == {}
    stand_in.person_talks("ops")
    assert set((await runner.look([REF])).busy_agents) == {"ops"}


async def test_a_run_behind_many_newer_sessions_is_found_by_its_name(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions_file, "PAGE_SESSIONS", 3)
    stand_in.script(ends="never")
    runner = a_runner(stand_in)
    await runner.start(ORDER)
    for agent in ("a", "b", "c", "d"):
        stand_in.person_talks(agent)
    sighting = await runner.look([REF, RunRef("T-2.1", "agent:ops:task-t-2-1", "ops")])
    assert sighting.runs["T-1.1"].state is RunState.RUNNING
    assert sighting.runs["T-2.1"].state is RunState.ABSENT


async def test_of_names_that_begin_alike_the_right_one_is_meant(stand_in: StandIn) -> None:
    stand_in.script("T-1.11", ends="never")
    runner = a_runner(stand_in)
    longer = Order("T-1", 11, "ops", "agent:ops:task-t-1-11", "T-1.11", "Do T-1.", "normal", "/nowhere")
    await runner.start(longer)
    assert (await runner.start(ORDER)).state is StartState.STARTED
    assert stand_in.starts_of("T-1.1") == 1
    assert await runner.stop(ORDER.session_key)
    assert (await runner.look([RunRef("T-1.11", longer.session_key, "ops")])).runs[
        "T-1.11"
    ].state is RunState.RUNNING


async def test_too_many_names_that_begin_alike_leave_it_open_how_a_run_stands(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions_file, "PAGE_SESSIONS", 1)
    stand_in.script(ends="never")
    runner = a_runner(stand_in)
    for epoch in (11, 12):
        key, run_id = f"agent:ops:task-t-1-{epoch}", f"T-1.{epoch}"
        await runner.start(Order("T-1", epoch, "ops", key, run_id, "Do T-1.", "normal", "/nowhere"))
    assert (await look(runner)).state is RunState.UNKNOWN
    assert (await runner.start(ORDER)).state is StartState.UNPROVEN
    assert stand_in.starts_of(ORDER.run_id) == 0


async def test_a_transcript_of_many_pages_is_kept_whole_and_in_order(
    stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions_file, "PAGE_MESSAGES", 1)
    stand_in.script(answer="Done.", ends="never")
    runner = a_runner(stand_in)
    await runner.start(ORDER)
    stand_in.finish(ORDER.run_id, "字" * 20_000)
    assert await runner.archive(ORDER.session_key, tmp_path / "kept")
    file = tmp_path / "kept/transcript.jsonl"
    asked, answered = (json.loads(line) for line in file.read_text(encoding="utf-8").splitlines())
    assert asked["content"] == ORDER.prompt
    assert answered["content"][0]["text"] == "字" * 20_000
    assert file.stat().st_mode & 0o777 == 0o600
    assert stand_in.session(ORDER.session_key)["archived"]


async def test_a_transcript_that_cannot_be_written_leaves_the_session_where_it_is(
    stand_in: StandIn, tmp_path: Path
) -> None:
    runner = a_runner(stand_in)
    await runner.start(ORDER)
    stand_in.finish(ORDER.run_id)
    (tmp_path / "kept").write_text("a file in the way")
    assert not await runner.archive(ORDER.session_key, tmp_path / "kept")
    assert not stand_in.session(ORDER.session_key)["archived"]


# -- priorities ---------------------------------------------------------------------------------------------


async def test_without_a_provider_for_its_priority_a_run_starts_as_the_agent_always_does(
    tmp_path: Path,
) -> None:
    stand_in = StandIn(tmp_path, agents=("ops",), providers=("nvidia",))
    assert (await a_runner(stand_in).start(URGENT)).state is StartState.STARTED
    assert [start.model for start in stand_in.starts()] == ["nvidia/deepseek-ai/deepseek-v3"]
    assert stand_in.calls("sessions.patch") == []


async def test_a_model_that_is_refused_keeps_no_run_from_starting(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = a_runner(stand_in)
    answers_otherwise(monkeypatch, "sessions.patch", GatewayError("Unknown provider.", final=True))
    with capture_logs() as logs:
        assert (await runner.start(URGENT)).state is StartState.STARTED
    assert [line["event"] for line in logs] == ["model_not_chosen"]
    assert len(stand_in.starts()) == 1


async def test_models_are_asked_for_once_and_not_at_all_for_what_is_not_urgent(stand_in: StandIn) -> None:
    runner = a_runner(stand_in)
    await runner.start(ORDER)
    assert stand_in.calls("models.list") == []
    for number in (2, 3):
        key, run_id = f"agent:ops:task-t-{number}-1", f"T-{number}.1"
        await runner.start(Order(f"T-{number}", 1, "ops", key, run_id, "Do it.", "high", "/nowhere"))
    assert len(stand_in.calls("models.list")) == len(stand_in.calls("agents.list")) == 1
    models = [start.model.partition("/")[0] for start in stand_in.starts()]
    assert models == ["nvidia", "nvidia-high", "nvidia-high"]


# -- turns --------------------------------------------------------------------------------------------------


async def test_the_turns_of_a_run_under_way_are_counted_but_not_at_every_look(stand_in: StandIn) -> None:
    stand_in.script(ends="never")
    runner = a_runner(stand_in)
    await runner.start(ORDER)
    assert (await look(runner)).turns == 0
    assert (await look(runner)).turns == 0
    assert len(stand_in.calls("chat.history")) == 1


async def test_turns_that_cannot_be_counted_leave_a_run_running(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in.script(ends="never")
    runner = a_runner(stand_in)
    await runner.start(ORDER)
    answers_otherwise(monkeypatch, "chat.history", {})
    assert await look(runner) == RunSeen(ORDER.run_id, RunState.RUNNING)


# -- an agent that acts -------------------------------------------------------------------------------------

AGENT = """
import sys
prompt = sys.stdin.read()
print(f"I was asked: {prompt}")
sys.exit("cannot" if "badly" in prompt else 0)
"""


@pytest.mark.parametrize(("prompt", "state"), [("Do it.", RunState.OK), ("Do it badly.", RunState.FAILED)])
async def test_the_stand_ins_agent_is_a_program_that_ends_as_its_run_does(
    stand_in: StandIn, prompt: str, state: RunState
) -> None:
    stand_in.script(spawn=[sys.executable, "-c", AGENT])
    runner = a_runner(stand_in)
    order = Order("T-1", 1, "ops", ORDER.session_key, ORDER.run_id, prompt, "normal", "/nowhere")
    assert (await runner.start(order)).state is StartState.STARTED
    ended = await until_ended(runner)
    assert ended.state is state
    answered = state is RunState.OK
    assert ended.answer == (f"I was asked: {prompt}" if answered else "")
    assert ended.error == ("" if answered else "cannot")


# -- what the command line says -----------------------------------------------------------------------------

SAID: dict[str, tuple[type[OpenClawError], int, dict[str, Any]]] = {
    "nobody listens": (
        GatewayDownError,
        1,
        {
            "type": "gateway_transport_error",
            "kind": "closed",
            "message": "Gateway not reachable at ws://127.0.0.1:18999 (ECONNREFUSED).",
            "reason": "connect ECONNREFUSED 127.0.0.1:18999",
        },
    ),
    "it is about to stop": (
        GatewayDownError,
        1,
        {
            "type": "gateway_request_error",
            "code": "UNAVAILABLE",
            "message": "gateway rejected websocket upgrade (HTTP 503): Gateway websocket admission closed",
            "details": {"reason": "websocket-upgrade-rejected", "httpStatus": 503},
            "retryable": True,
        },
    ),
    "it did not answer in time": (
        AnswerLostError,
        1,
        {
            "type": "gateway_transport_error",
            "kind": "timeout",
            "message": "gateway timeout after 1ms",
            "timeoutMs": 1,
        },
    ),
    "it was killed in the middle": (
        AnswerLostError,
        1,
        {"type": "gateway_transport_error", "kind": "closed", "message": "gateway closed (1006)"},
    ),
    "the parameters are wrong": (
        GatewayError,
        1,
        {
            "type": "gateway_request_error",
            "code": "INVALID_REQUEST",
            "message": "invalid agent params: at /message: must be string",
            "retryable": False,
        },
    ),
    "the session changed": (
        GatewayError,
        1,
        {
            "type": "gateway_request_error",
            "code": "UNAVAILABLE",
            "message": 'Session "agent:ops:task-t-2-1" changed while starting work. Retry.',
            "retryable": False,
        },
    ),
    "there are no credentials": (
        GatewayError,
        1,
        {
            "type": "gateway_credentials_required",
            "message": "gateway health requires credentials before opening a websocket\nFix: configure …",
        },
    ),
    "an error of another shape": (GatewayError, 1, {}),
}
FINAL = {"the parameters are wrong", "there are no credentials", "an error of another shape"}


@pytest.mark.parametrize("what", SAID)
async def test_each_error_says_whether_the_question_was_put(what: str, tmp_path: Path) -> None:
    kind, code, error = SAID[what]
    with pytest.raises(OpenClawError) as caught:
        await says(tmp_path, json.dumps({"ok": False, "error": error}), code).call("health", {})
    assert type(caught.value) is kind
    assert str(caught.value).split("\n") == [" ".join(error.get("message", "exit code 1").split())]
    if isinstance(caught.value, GatewayError):
        assert caught.value.final is (what in FINAL)


async def test_an_error_that_is_no_json_is_told_by_its_last_line(tmp_path: Path) -> None:
    with pytest.raises(AnswerLostError, match="exit code 7 and: it went wrong"):
        await says(tmp_path, "some words\nit went wrong\n", 7).call("health", {})


async def test_half_an_emoji_in_a_parameter_reaches_the_gateway_as_a_question_mark(stand_in: StandIn) -> None:
    gateway = Gateway(stand_in.command, stand_in.environ)
    await gateway.call("chat.history", {"sessionKey": "😀\ud83d\0"})
    assert stand_in.calls("chat.history") == [("chat.history", {"sessionKey": "😀?\0"})]


def says(directory: Path, words: str, code: int) -> Gateway:
    """A command that prints just that, whatever it is asked."""
    (directory / "words").write_text(words)
    program = directory / "says"
    program.write_text(f"#!/bin/sh\ncat {directory / 'words'}\nexit {code}\n")
    program.chmod(0o755)
    return Gateway([str(program)], {"PATH": "/usr/bin:/bin"})


def answers_otherwise(
    monkeypatch: pytest.MonkeyPatch, wanted: str, answer: dict[str, Any] | OpenClawError
) -> None:
    """One method of the gateway is out of order; the others do as they do."""
    call = Gateway.call

    async def changed(self: Gateway, method: str, params: Mapping[str, object]) -> dict[str, Any]:
        if method != wanted:
            return await call(self, method, params)
        if isinstance(answer, OpenClawError):
            raise answer
        return answer

    monkeypatch.setattr(Gateway, "call", changed)


async def until_ended(runner: OpenClawRunner) -> RunSeen:
    async def ended() -> RunSeen | None:
        sighting: Sighting = await runner.look([REF])
        seen = sighting.runs[REF.run_id]
        return None if seen.state is RunState.RUNNING else seen

    look: Callable[[], RunSeen | Awaitable[RunSeen | None] | None] = ended
    found = await until(look, 30)
    assert found is not None
    return found
