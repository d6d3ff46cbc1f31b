"""The demonstration runner: plays an agent that calls a model, where there is no OpenClaw.

It asks the model once, through the sidecar as an agent does, and hands the answer in with its ticket, over
HTTP as an agent does. Its runs live in this process and end with it: the next one finds them absent.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import structlog
import trio

from scheduler.core.sighting import RunRef, RunSeen, RunState, Sighting
from scheduler.runs import transcript
from scheduler.runs.orders import Order, StartResult, StartState
from shared import clock

MODEL: Final = "deepseek-ai/deepseek-v3"
ANSWER_NAME: Final = "answer.md"
MODEL_SECONDS: Final = 900.0
"""As long as the sidecar lets a request wait, and the model be silent, together."""
BOARD_SECONDS: Final = 30.0
MAX_WORDS: Final = 300
"""Characters of an answer that is no success."""

# What is raised where foreign JSON is not of the shape that it should be.
_NO_SENSE: Final = (ValueError, LookupError, TypeError, AttributeError)

_log = structlog.get_logger()


class _FailedError(Exception):
    """The play is over before its end; the message says why."""


@dataclass(slots=True)
class _Play:
    """One run. Only its own task changes it."""

    order: Order
    scope: trio.CancelScope
    seen: RunSeen
    messages: list[dict[str, object]]


class DemoRunner:
    """A `Runner`. Owner of its runs, as long as `run` does."""

    def __init__(
        self,
        sidecar_url: str | None,
        *,
        client: Callable[[], httpx.AsyncClient] = lambda: httpx.AsyncClient(trust_env=False),
    ) -> None:
        """`sidecar_url` without a path, as `http://127.0.0.1:9190`. `client` is replaced in tests."""
        self._sidecar_url, self._make_client = (sidecar_url or "").rstrip("/"), client
        self._plays: dict[str, _Play] = {}  # by session key
        self._stage: tuple[trio.Nursery, httpx.AsyncClient] | None = None

    async def run(self) -> None:
        """Until cancelled: where the plays are played."""
        async with self._make_client() as client, trio.open_nursery() as nursery:
            self._stage = nursery, client
            try:
                await trio.sleep_forever()
            finally:
                self._stage = None

    async def start(self, order: Order) -> StartResult:
        """See Runner."""
        if order.session_key not in self._plays:
            if self._stage is None:
                return StartResult(StartState.GATEWAY_DOWN, "the demonstration has not begun")
            nursery, client = self._stage
            seen = RunSeen(order.run_id, RunState.RUNNING)
            asked: dict[str, object] = {"role": "user", "content": order.prompt}
            play = self._plays[order.session_key] = _Play(order, trio.CancelScope(), seen, [asked])
            nursery.start_soon(_perform, play, client, self._sidecar_url)
        return StartResult(StartState.STARTED)

    async def look(self, runs: Sequence[RunRef]) -> Sighting:
        """See Runner."""
        plays = {run.run_id: self._plays.get(run.session_key) for run in runs}
        seen = {
            run_id: RunSeen(run_id, RunState.ABSENT) if play is None else play.seen
            for run_id, play in plays.items()
        }
        return Sighting(up=self._stage is not None, at=clock.wall(), runs=seen)

    async def stop(self, session_key: str) -> bool:
        """See Runner."""
        if (play := self._plays.get(session_key)) is not None:
            play.scope.cancel()
            if play.seen.state is RunState.RUNNING:
                play.seen = RunSeen(play.order.run_id, RunState.ABORTED)
        return True

    async def archive(self, session_key: str, directory: Path) -> bool:
        """See Runner."""
        play = self._plays.get(session_key)
        if play is None:
            return True
        if play.seen.state is RunState.RUNNING:
            return False
        try:
            await trio.to_thread.run_sync(transcript.keep, directory, play.messages)
        except OSError as error:
            _log.warning("session_not_archived", session=session_key, error=str(error))
            return False
        self._plays.pop(session_key, None)
        return True


async def _perform(play: _Play, client: httpx.AsyncClient, sidecar_url: str) -> None:
    """From the prompt to the final output. However it ends, `play.seen` says how."""
    order = play.order
    with play.scope:
        try:
            ticket = json.loads(await trio.Path(order.ticket_file).read_text(encoding="utf-8"))
            task, bearer = f"{ticket['url']}/api/blackboard/tasks/{ticket['task']}", ticket["claim"]
            await _write(client, f"{task}/heartbeat", bearer, {"note": "asks the model"})
            message, usage = await _ask(client, sidecar_url, order)
            play.messages.append(message)
            text = str(message.get("content") or "")
            await _write(client, f"{task}/output", bearer, {"text": text, "name": ANSWER_NAME, "final": True})
            tokens = usage.get("total_tokens")
            play.seen = RunSeen(order.run_id, RunState.OK, answer=text, turns=1, tokens=tokens)
        except (_FailedError, httpx.HTTPError, OSError, *_NO_SENSE) as error:
            why = str(error) or type(error).__name__
            play.seen = RunSeen(order.run_id, RunState.FAILED, error=why, turns=0)
            _log.info("demo_run_failed", run=order.run_id, error=why)


async def _ask(
    client: httpx.AsyncClient, sidecar_url: str, order: Order
) -> tuple[dict[str, object], Mapping[str, Any]]:
    """The model's message, and what it took."""
    if not sidecar_url:
        raise _FailedError("no sidecar is configured: the demonstration calls its model through one")
    answer = await client.post(
        f"{sidecar_url}/v1/chat/completions",
        json={"model": MODEL, "messages": [{"role": "user", "content": order.prompt}]},
        # What the sidecar tells callers apart by. The key is a word, because the sidecar has its own.
        headers={
            "authorization": "Bearer held-by-the-sidecar",
            "x-agent-id": order.agent,
            "x-priority": order.priority,
            "x-session-affinity": order.session_key,
        },
        timeout=MODEL_SECONDS,
    )
    content = _checked(answer).json()
    return content["choices"][0]["message"], content.get("usage") or {}


async def _write(client: httpx.AsyncClient, url: str, bearer: str, body: Mapping[str, object]) -> None:
    headers = {"authorization": f"Bearer {bearer}"}
    _checked(await client.post(url, json=body, headers=headers, timeout=BOARD_SECONDS))


def _checked(answer: httpx.Response) -> httpx.Response:
    """An answer that is a success; else its own words, by which the cause is told."""
    if answer.is_success:
        return answer
    said = " ".join(answer.text.split())[:MAX_WORDS]
    raise _FailedError(f"HTTP {answer.status_code} from {answer.request.url.path}: {said}")
