"""What OpenClaw's words about sessions mean for runs. The shapes were measured on 2026.9.6.

One run has one session, which is ours alone; and the session, not the run, is what counts. For a gateway that
was killed in the middle of a run takes the session up again after its start, one session at a time and under
a run id of its own making.

What a row of ``sessions.list`` says:

| `hasActiveRun` | `status` | archived | |
|---|---|---|---|
| true | any | any | running |
| false | `running` | no | running: interrupted by a restart, and in line to be taken up again |
| false | `running` | yes | aborted: what is archived is not taken up again |
| false | `done` | any | ended well |
| false | `failed`, `timeout` | any | failed |
| false | `killed` | any | aborted |
| false | none | no | absent, once it has been like that for a minute |
| false | another word | any | nobody knows |

No status: only a model was chosen for the session, or the gateway was killed within seconds of accepting the
run, and has forgotten that it did.
"""

import json
import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from scheduler.core.sighting import RunState

Row = Mapping[str, Any]
"""A session, in OpenClaw's JSON."""

SETTLED_AFTER_SECONDS: Final = 60.0
"""A session without a status that is younger may still be about to begin; none was ever seen to."""

REMEMBERED_SECONDS: Final = 240.0
"""For five minutes, as long as it does not restart, the gateway knows an ended run and its key."""

_OURS: Final = re.compile(r"agent:([a-z0-9_-]+):task-t-[a-z0-9]+-[1-9][0-9]*")

_ENDED: Final = {
    "done": RunState.OK,
    "failed": RunState.FAILED,
    "timeout": RunState.FAILED,
    "killed": RunState.ABORTED,
}


def is_ours(session_key: str) -> bool:
    """Whether the session is one that we make for a run. No other is ever stopped or archived."""
    return _OURS.fullmatch(session_key) is not None


def standing(row: Row, listed_at: float) -> RunState:
    """How the run of this session stands, by a list that the gateway made at that Unix time of its own."""
    status, archived = row.get("status"), row.get("archived") is True
    if row.get("hasActiveRun") is True:
        return RunState.RUNNING
    if status == "running":
        return RunState.ABORTED if archived else RunState.RUNNING
    if status is None:
        changed_at = _seconds(row.get("updatedAt"))
        settled = changed_at is not None and listed_at - changed_at >= SETTLED_AFTER_SECONDS
        return RunState.ABSENT if archived or settled else RunState.UNKNOWN
    return _ENDED.get(status, RunState.UNKNOWN) if isinstance(status, str) else RunState.UNKNOWN


def has_begun(row: Row) -> bool:
    """Whether a run was ever under way in this session: then nothing may be started in it again.

    The idempotency key alone does not see to that. The gateway remembers keys for five minutes, and not over
    a restart; after that a repeated start is accepted, and spoils the session of the run that has ended.
    """
    return row.get("status") is not None or row.get("hasActiveRun") is True or row.get("archived") is True


def busy_agents(rows: Iterable[Row], listed_at: float) -> dict[str, float]:
    """Agent -> newest activity in a session in which a person may be talking with it.

    `updatedAt` stands in where a row tells of no interaction. Background sessions (``isBackground``: cron,
    heartbeat, hook, subagent, …) are nobody's conversation, and our own runs have subagents, too.
    """
    busy: dict[str, float] = {}
    for row in rows:
        agent, key = row.get("agentId"), row.get("key")
        if not isinstance(agent, str) or not isinstance(key, str) or is_ours(key):
            continue
        if row.get("isBackground") is True or row.get("archived") is True:
            continue
        stamps = [_seconds(row.get(name)) for name in ("lastInteractionAt", "lastActivityAt")]
        if stamps == [None, None]:
            stamps = [_seconds(row.get("updatedAt"))]
        newest = listed_at if row.get("hasActiveRun") is True else max(filter(None, stamps), default=0.0)
        if newest > busy.get(agent, 0.0):
            busy[agent] = newest
    return busy


def tokens_of(row: Row) -> int | None:
    """Tokens in and out of all calls; None where OpenClaw does not say (`totalTokens` is another thing: the
    size of the context).
    """
    counts = [row.get("inputTokens"), row.get("outputTokens")]
    known = [count for count in counts if isinstance(count, int)]
    return sum(known) if known else None


def listed_at(answer: Row) -> float:
    """The gateway's own time of a list, in Unix seconds; 0, which settles nothing, if it does not say."""
    return _seconds(answer.get("ts")) or 0.0


# -- transcripts ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Told:
    """What a transcript says of its run."""

    answer: str
    error: str
    turns: int


def told(messages: Iterable[Row]) -> Told:
    """`messages` of ``chat.history``, oldest first.

    A turn is one call of the model: a message of the assistant's with a `stopReason`. (Text before a tool
    call is listed a second time, without one.) What ends with a tool call is no answer, and a turn that goes
    well makes an earlier failure undone.
    """
    answer, error, turns = "", "", 0
    for message in messages:
        text = _text(message.get("content"))
        if message.get("role") == "custom" and message.get("customType") == "run-failed-before-reply":
            answer, error = "", text
        elif message.get("role") == "assistant" and (reason := message.get("stopReason")) is not None:
            if reason in {"error", "aborted"}:
                answer, error = "", text or str(message.get("errorMessage", reason))
            else:
                turns += 1
                answer, error = "" if reason == "toolUse" else text, ""
    return Told(answer, error.removeprefix("⚠️").strip(), turns)


def outcome(answer: Row) -> tuple[str, str]:
    """The answer and the error in what ``agent.wait`` says of a run; both '' if it does not know it."""
    status = answer.get("status")
    reply = answer.get("terminalReply")
    if status == "ok":
        return (str(reply.get("text") or "") if isinstance(reply, dict) else ""), ""
    if status != "error":
        return "", ""
    said = (answer.get(name) for name in ("error", "errorMessage", "summary"))
    words = (each.get("message") if isinstance(each, dict) else each for each in said)
    return "", next((each for each in words if isinstance(each, str) and each), "")


def failed_lately(answer: Row, now: float) -> bool:
    """Whether by ``agent.wait`` the run failed by itself, and well within the five minutes of its memory."""
    ended_at = _seconds(answer.get("endedAt"))
    lately = ended_at is None or 0 <= now - ended_at < REMEMBERED_SECONDS
    return answer.get("status") == "error" and answer.get("stopReason") != "rpc" and lately


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = (part.get("text") for part in parts if isinstance(part, dict) and part.get("type") == "text")
    return "\n".join(text for text in texts if isinstance(text, str))


# -- which model ------------------------------------------------------------------------------------------

PROVIDERS: Final = {"urgent": "nvidia-urgent", "high": "nvidia-high"}
"""Priority -> the provider whose requests have it. The others run as the agent always does: with `nvidia-low`
the sidecar would refuse after two seconds what only had to wait.
"""
_SIDECAR: Final = frozenset({"nvidia", "nvidia-urgent", "nvidia-high", "nvidia-low"})


def model_for(priority: str, agent_model: str) -> str | None:
    """The agent's own model by the provider of that priority; None: it stays as it is.

    An agent whose model does not come through the sidecar keeps it: there is no priority to be had.
    """
    provider = PROVIDERS.get(priority)
    own, _, model = agent_model.partition("/")
    if provider is None or not model or own not in _SIDECAR or own == provider:
        return None
    return f"{provider}/{model}"


def agent_models(answer: Row) -> dict[str, str]:
    """Agent -> `provider/model`, from ``agents.list``."""
    models = {}
    for agent in _objects(answer.get("agents")):
        model = agent.get("model")
        primary = model.get("primary") if isinstance(model, dict) else model
        if isinstance(name := agent.get("id"), str) and isinstance(primary, str):
            models[name] = primary
    return models


def offered_models(answer: Row) -> frozenset[str]:
    """Each `provider/model` of ``models.list`` that can be used. It has to be asked: ``sessions.patch`` takes
    any model of a provider that it knows, and then the run fails.
    """
    return frozenset(
        f"{model.get('provider')}/{model.get('id')}"
        for model in _objects(answer.get("models"))
        if model.get("available") is not False
    )


# -- what fits --------------------------------------------------------------------------------------------

_LEFT_OUT: Final = "\n\n[… left out here: {} characters; read the task on the board …]\n\n"


def shortened(prompt: str, excess_bytes: int) -> str:
    """`prompt` without so much of its middle that it saves those bytes, where it is written as JSON. Its head
    names the task, and its end says how to write.
    """
    if excess_bytes <= 0:
        return prompt
    note_bytes = _written_bytes(_LEFT_OUT.format(len(prompt)))

    def middle(length: int) -> slice:
        begin = (len(prompt) - length) // 2
        return slice(begin, begin + length)

    def saved(length: int) -> int:
        return _written_bytes(prompt[middle(length)]) - note_bytes

    length = bisect_left(range(len(prompt)), excess_bytes, key=saved)
    out = middle(length)
    return prompt[: out.start] + _LEFT_OUT.format(length) + prompt[out.stop :]


def _written_bytes(text: str) -> int:
    """As JSON in UTF-8, where a quotation mark takes two bytes, as does a new line."""
    return len(json.dumps(text, ensure_ascii=False).encode("utf-8", "replace")) - len('""')


def _objects(value: object) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _seconds(milliseconds: object) -> float | None:
    return milliseconds / 1000 if isinstance(milliseconds, int | float) else None
