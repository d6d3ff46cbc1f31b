"""What OpenClaw's words about sessions mean for runs. The shapes are those that 2026.9.6 was seen to send."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.failures import FailureCause, failure_cause
from scheduler.core.runs import (
    SETTLED_AFTER_SECONDS,
    agent_models,
    busy_agents,
    failed_lately,
    has_begun,
    is_ours,
    listed_at,
    model_for,
    offered_models,
    outcome,
    shortened,
    standing,
    tokens_of,
    told,
)
from scheduler.core.sighting import ENDED, RunState

NOW = 1_795_175_000.0
WORDS = ("running", "done", "failed", "timeout", "killed", "paused", None, 7, ["done"])


def row(**more: Any) -> dict[str, Any]:
    return {
        "key": "agent:ops:task-t-0042-3",
        "agentId": "ops",
        "updatedAt": NOW * 1000,
        "archived": False,
        "hasActiveRun": False,
        "status": "done",
        **more,
    }


# -- how a run stands -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kept", "archived"),
    [
        ("done", RunState.OK, RunState.OK),
        ("failed", RunState.FAILED, RunState.FAILED),
        ("timeout", RunState.FAILED, RunState.FAILED),
        ("killed", RunState.ABORTED, RunState.ABORTED),
        # Interrupted by a restart, and in line to be taken up again; what is archived never is.
        ("running", RunState.RUNNING, RunState.ABORTED),
        ("paused", RunState.UNKNOWN, RunState.UNKNOWN),
        (7, RunState.UNKNOWN, RunState.UNKNOWN),
        (["done"], RunState.UNKNOWN, RunState.UNKNOWN),
    ],
)
def test_without_an_active_run_the_status_says_how_the_run_stands(
    status: object, kept: RunState, archived: RunState
) -> None:
    assert standing(row(status=status), NOW) is kept
    assert standing(row(status=status, archived=True), NOW) is archived


@pytest.mark.parametrize("status", WORDS)
@pytest.mark.parametrize("archived", [False, True])
def test_a_session_with_an_active_run_runs_whatever_else_is_said_of_it(
    status: object, archived: bool
) -> None:
    assert standing(row(status=status, archived=archived, hasActiveRun=True), NOW) is RunState.RUNNING


def test_a_session_without_a_status_is_absent_only_once_it_has_been_so_for_a_minute() -> None:
    lost = row(status=None)
    assert standing(lost, NOW) is RunState.UNKNOWN
    assert standing(lost, NOW + SETTLED_AFTER_SECONDS - 0.1) is RunState.UNKNOWN
    assert standing(lost, NOW + SETTLED_AFTER_SECONDS) is RunState.ABSENT
    assert standing(row(status=None, archived=True), NOW) is RunState.ABSENT


@pytest.mark.parametrize("changed", [None, "yesterday"])
def test_a_session_without_a_status_or_a_time_is_never_called_absent(changed: object) -> None:
    assert standing(row(status=None, updatedAt=changed), NOW) is RunState.UNKNOWN


def test_a_list_without_a_time_settles_nothing() -> None:
    assert listed_at({"ts": NOW * 1000}) == NOW
    assert standing(row(status=None), listed_at({})) is RunState.UNKNOWN


@pytest.mark.parametrize(
    ("status", "active", "archived"), list(itertools.product(WORDS, [True, False], [True, False]))
)
def test_what_may_live_is_never_called_ended_or_absent(status: object, active: bool, archived: bool) -> None:
    may_live = active or (status in {"running", "paused", 7} if not isinstance(status, list) else True)
    said = standing(row(status=status, hasActiveRun=active, archived=archived), NOW + 3600)
    if may_live and not (archived and not active):
        assert said not in ENDED | {RunState.ABSENT}


@pytest.mark.parametrize("status", WORDS)
def test_whatever_has_a_status_has_begun_and_is_not_begun_again(status: object) -> None:
    assert has_begun(row(status=status)) is (status is not None)
    assert has_begun(row(status=None, hasActiveRun=True))
    assert has_begun(row(status=None, archived=True))


# -- whose session ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["agent:ops:task-t-0042-3", "agent:a_b-c9:task-t-1a-12"])
def test_sessions_of_runs_are_ours(key: str) -> None:
    assert is_ours(key)


@pytest.mark.parametrize(
    "key",
    [
        "agent:ops:main",
        "agent:ops:task-1",
        "agent:ops:task-t-0042",
        "agent:ops:task-t-0042-0",
        "agent:ops:task-t-0042-3:thread:9",
        "agent:ops:subagent:task-t-0042-3",
        "agent:ops:task-T-0042-3",
        "x agent:ops:task-t-0042-3",
        "agent:ops:task-t-0042-3\n",
        "",
    ],
)
def test_no_other_session_is_ours(key: str) -> None:
    assert not is_ours(key)


def test_an_agent_is_busy_where_a_person_talked_with_it_last() -> None:
    rows = [
        row(key="agent:ops:main", lastInteractionAt=(NOW - 500) * 1000, lastActivityAt=(NOW - 300) * 1000),
        row(key="agent:ops:telegram:direct:9", lastInteractionAt=(NOW - 200) * 1000),
        row(key="agent:dev:main", agentId="dev", hasActiveRun=True, lastInteractionAt=(NOW - 900) * 1000),
    ]
    assert busy_agents(rows, NOW) == {"ops": NOW - 200, "dev": NOW}


def test_nobody_is_busy_with_our_runs_or_in_the_background_or_in_what_is_archived() -> None:
    spoke = {"lastInteractionAt": NOW * 1000}
    rows = [
        row(**spoke),
        row(key="agent:ops:subagent:9", isBackground=True, **spoke),
        row(key="agent:ops:main", archived=True, **spoke),
        row(key="agent:ops:main", updatedAt=None),
        row(key="agent:ops:main", agentId=None, **spoke),
    ]
    assert busy_agents(rows, NOW) == {}


def test_where_a_row_tells_of_no_interaction_its_last_change_stands_in() -> None:
    rows = [row(key="agent:ops:main", updatedAt=(NOW - 60) * 1000)]
    assert busy_agents(rows, NOW) == {"ops": NOW - 60}


@pytest.mark.parametrize(
    ("said", "known"),
    [
        ({"status": "ok", "terminalReply": {"text": "Here."}}, ("Here.", "")),
        ({"status": "ok"}, ("", "")),
        ({"status": "timeout"}, ("", "")),
        ({"status": "error", "stopReason": "rpc"}, ("", "")),
        ({"status": "error", "error": "HTTP 429"}, ("", "HTTP 429")),
        ({"status": "error", "error": {"type": "cli_error", "message": "HTTP 401"}}, ("", "HTTP 401")),
        ({"status": "error", "error": None, "summary": "it broke"}, ("", "it broke")),
    ],
)
def test_what_the_gateway_still_remembers_of_an_ended_run(
    said: dict[str, object], known: tuple[str, str]
) -> None:
    assert outcome(said) == known


@pytest.mark.parametrize(
    ("said", "lately"),
    [
        ({"status": "error", "endedAt": (NOW - 10) * 1000}, True),
        ({"status": "error"}, True),
        ({"status": "error", "stopReason": "rpc"}, False),
        ({"status": "error", "endedAt": (NOW - 280) * 1000}, False),
        ({"status": "ok"}, False),
        ({"status": "timeout"}, False),
    ],
)
def test_only_what_failed_by_itself_and_is_still_remembered_may_be_asked_for_again(
    said: dict[str, object], *, lately: bool
) -> None:
    assert failed_lately(said, NOW) is lately


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        ("404 status code (no body)", FailureCause.MODEL_UNAVAILABLE),
        ("503 ResourceExhausted: Worker local total request limit reached", FailureCause.MODEL_UNAVAILABLE),
        ("Function 'abc': Not found for account", FailureCause.MODEL_UNAVAILABLE),
        ("DEGRADED function cannot be invoked", FailureCause.MODEL_UNAVAILABLE),
        ("402 Payment Required", FailureCause.REJECTED_KEY),
        ("⚠️ Please try again later. (429 Too Many Requests)", FailureCause.RATE_LIMIT),
        ("the tool said 404 twice", FailureCause.OTHER),
    ],
)
def test_the_words_of_nvidias_own_refusals_are_the_worlds_fault(error: str, cause: FailureCause) -> None:
    assert failure_cause(error) is cause


def test_tokens_are_those_of_all_calls_and_none_where_nothing_is_said() -> None:
    assert tokens_of({"inputTokens": 300, "outputTokens": 30, "totalTokens": 100}) == 330
    assert tokens_of({"inputTokens": 300}) == 300
    assert tokens_of({"totalTokens": 100}) is None


# -- transcripts ------------------------------------------------------------------------------------------


def text(words: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": words}]


ASKED = {"role": "user", "content": "Do it."}
# As listed around a call of a tool: what the agent says meanwhile is there a second time.
ASIDE = {"role": "assistant", "content": text("I look first.")}
CALL = {"role": "assistant", "content": [{"type": "toolCall", "name": "exec"}], "stopReason": "toolUse"}
RESULT = {"role": "toolResult", "content": text("hi")}
FAILED = {
    "role": "assistant",
    "content": text("⚠️ LLM request failed (rate limited, HTTP 429)."),
    "stopReason": "error",
}
NOT_BEGUN = {
    "role": "custom",
    "customType": "run-failed-before-reply",
    "content": "No key for this provider.",
}
CUT_OFF = {
    "role": "assistant",
    "content": text(""),
    "stopReason": "aborted",
    "errorMessage": "request timed out",
}


def said(words: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text(words), "stopReason": "stop"}


def test_the_answer_is_what_was_said_last_and_each_call_of_the_model_is_a_turn() -> None:
    found = told([ASKED, ASIDE, CALL, RESULT, ASIDE, CALL, RESULT, said("It is done.")])
    assert (found.answer, found.error, found.turns) == ("It is done.", "", 3)


def test_what_was_said_before_a_tool_was_called_is_no_answer() -> None:
    assert told([ASKED, said("Wait."), CALL, RESULT]).answer == ""


@pytest.mark.parametrize(
    ("message", "error"),
    [
        (FAILED, "LLM request failed (rate limited, HTTP 429)."),
        (NOT_BEGUN, "No key for this provider."),
        (CUT_OFF, "request timed out"),
    ],
)
def test_a_failure_is_told_in_its_own_words(message: dict[str, Any], error: str) -> None:
    found = told([ASKED, CALL, RESULT, message])
    assert (found.answer, found.error, found.turns) == ("", error, 1)


def test_a_turn_that_goes_well_after_a_restart_makes_the_failure_undone() -> None:
    again = {"role": "user", "content": "[System] Your previous turn was interrupted …"}
    found = told([ASKED, FAILED, again, said("Done.")])
    assert (found.answer, found.error, found.turns) == ("Done.", "", 1)


@pytest.mark.parametrize("content", [None, 7, [7, {"type": "text"}, {"type": "image", "text": "no"}]])
def test_content_of_another_shape_says_nothing(content: object) -> None:
    assert told([{"role": "assistant", "content": content, "stopReason": "stop"}]).answer == ""


# -- why a run failed -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cause", "error"),
    [
        # As 2026.9.6 words it, by `agent.wait` and in transcripts.
        ("rate_limit", "⚠️ API rate limit reached. Please try again later."),
        ("rate_limit", "LLM request failed (rate limited, HTTP 429). This is usually temporary."),
        ("rejected_key", "Authentication failed (provider returned HTTP 401). Your token may have expired."),
        (
            "rejected_key",
            "LLM request failed (authentication failed, HTTP 401). Re-authenticate the provider.",
        ),
        (
            "rejected_key",
            'Inline API key for provider "nvidia" is disabled after a provider auth/billing failure.',
        ),
        ("model_unavailable", "The selected model was not found by the provider. Check the model id."),
        ("model_unavailable", "LLM request failed (model not found, HTTP 404)."),
        ("model_unavailable", "LLM request failed: network connection error."),
        ("model_unavailable", "LLM request failed (provider internal error, HTTP 500)."),
        ("gateway_down", "Gateway not reachable at ws://127.0.0.1:18789 (ECONNREFUSED)."),
        ("gateway_down", "gateway closed (1006)"),
        ("other", "LLM request failed: provider rejected the request schema or tool payload."),
        ("other", "Request timed out before a response was generated."),
        ("other", "The agent run failed before producing a reply."),
        ("other", "LLM request failed (HTTP 400)."),
        ("other", ""),
    ],
)
def test_the_cause_of_a_failure_is_in_its_words(cause: str, error: str) -> None:
    assert failure_cause(error) is FailureCause(cause)


# -- which model ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("priority", "own", "chosen"),
    [
        ("urgent", "nvidia/deepseek-ai/deepseek-v3", "nvidia-urgent/deepseek-ai/deepseek-v3"),
        ("high", "nvidia/nvidia/llama", "nvidia-high/nvidia/llama"),
        ("high", "nvidia-low/a/b", "nvidia-high/a/b"),
        ("urgent", "nvidia-urgent/a/b", None),
        ("normal", "nvidia/a/b", None),
        ("low", "nvidia/a/b", None),
        ("urgent", "anthropic/claude", None),
        ("urgent", "nvidia", None),
        ("urgent", "", None),
    ],
)
def test_the_tasks_priority_chooses_the_provider_of_the_agents_own_model(
    priority: str, own: str, chosen: str | None
) -> None:
    assert model_for(priority, own) == chosen


def test_models_of_agents_are_read_in_both_forms_and_nonsense_is_passed_over() -> None:
    agents = [{"id": "main", "model": {"primary": "nvidia/a"}}, {"id": "ops", "model": "nvidia/b"}]
    odd = [{"id": "x"}, {"id": 7, "model": "nvidia/c"}, "y"]
    assert agent_models({"agents": [*agents, *odd]}) == {"main": "nvidia/a", "ops": "nvidia/b"}
    assert agent_models({"agents": "none"}) == {}


def test_a_model_is_offered_unless_it_is_said_to_be_unavailable() -> None:
    models = [
        {"provider": "nvidia", "id": "a", "available": True},
        {"provider": "nvidia-high", "id": "a"},
        {"provider": "nvidia-low", "id": "a", "available": False},
    ]
    assert offered_models({"models": models}) == {"nvidia/a", "nvidia-high/a"}


# -- what fits --------------------------------------------------------------------------------------------


@given(st.text(max_size=400), st.integers(min_value=-10, max_value=900))
def test_a_shortened_prompt_saves_what_was_asked_or_has_nothing_left_but_the_note(
    prompt: str, excess: int
) -> None:
    cut = shortened(prompt, excess)
    if excess <= 0:
        assert cut == prompt
    else:
        assert size(cut) <= size(prompt) - excess or f"{len(prompt)} characters" in cut


@pytest.mark.parametrize("letter", ["x", "字", '"', "\n", "😀"])
def test_a_shortened_prompt_keeps_its_head_and_its_end_and_loses_no_more_than_it_must(letter: str) -> None:
    prompt = "Your task is T-1. " + letter * 10_000 + " Write it so."
    cut = shortened(prompt, 5_000)
    assert cut.startswith("Your task is T-1. ")
    assert cut.endswith(" Write it so.")
    assert 5_000 <= size(prompt) - size(cut) <= 5_100


def size(prompt: str) -> int:
    return len(json.dumps(prompt, ensure_ascii=False).encode("utf-8", "replace"))
