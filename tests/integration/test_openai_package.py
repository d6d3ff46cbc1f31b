"""The real ``openai`` package through the sidecar, as a program of the user's would use it.

It is synchronous and lives in a worker thread. Its own retries are off, so that what goes well here went well
because of the sidecar.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import openai
import pytest
import trio
from openai.types.chat import ChatCompletionUserMessageParam

from tests.integration.processes import Sidecar, Simulator, run_sidecar, run_simulator, until

pytestmark = pytest.mark.integration

T = TypeVar("T")

CHAT = "/v1/chat/completions"
MODEL = "meta/llama-3.3-70b-instruct"
SAID = "naïve café, 完成, 🦀"
QUESTION: ChatCompletionUserMessageParam = {"role": "user", "content": f"say: {SAID}"}


async def test_an_answer_in_one_piece_arrives_intact(tmp_path: Path) -> None:
    async with _pair(tmp_path) as (simulator, sidecar):
        assert await _with_client(sidecar, _whole) == SAID
        assert await _statuses(simulator) == [200]


async def test_a_streamed_answer_arrives_intact_with_its_usage(tmp_path: Path) -> None:
    async with _pair(tmp_path) as (simulator, sidecar):
        text, completion_tokens = await _with_client(sidecar, _streamed)
        assert text == SAID
        assert completion_tokens > 0
        assert await _statuses(simulator) == [200]


@pytest.mark.needs("minutes")
@pytest.mark.parametrize("streamed", [False, True])
async def test_two_429s_of_the_upstream_are_not_seen_by_the_program(tmp_path: Path, streamed: bool) -> None:
    async with _pair(tmp_path) as (simulator, sidecar):
        await simulator.fault("429", count=2)
        said = (
            (await _with_client(sidecar, _streamed))[0] if streamed else await _with_client(sidecar, _whole)
        )
        assert said == SAID
        assert await _statuses(simulator) == [429, 429, 200]
        (completed,) = await until(lambda: sidecar.log_lines("request_completed"))
        assert (completed["status"], completed["attempts"]) == (200, 3)


async def test_embeddings_come_back_as_the_upstream_made_them(tmp_path: Path) -> None:
    def embed(client: openai.OpenAI) -> list[int]:
        answer = client.embeddings.create(
            model="nvidia/nv-embedqa-e5-v5", input=["one", "two"], extra_body={"input_type": "query"}
        )
        return [len(row.embedding) for row in answer.data]

    async with _pair(tmp_path) as (_, sidecar):
        first, second = await _with_client(sidecar, embed)
        assert first == second > 0


async def test_what_the_upstream_rejects_is_the_packages_own_error_with_the_upstreams_words(
    tmp_path: Path,
) -> None:
    def embed(client: openai.OpenAI) -> None:
        client.embeddings.create(model="nvidia/nv-embedqa-e5-v5", input="one")

    async with _pair(tmp_path) as (_, sidecar):
        with pytest.raises(openai.BadRequestError) as rejected:
            await _with_client(sidecar, embed)
        assert "'input_type' parameter is required" in str(rejected.value.body)


async def test_the_list_of_models_is_asked_for_once(tmp_path: Path) -> None:
    def models(client: openai.OpenAI) -> list[str]:
        return [model.id for model in client.models.list()]

    async with _pair(tmp_path) as (simulator, sidecar):
        names = await _with_client(sidecar, models)
        assert MODEL in names
        assert await _with_client(sidecar, models) == names
        assert len(await simulator.requests("/v1/models")) == 1


def _whole(client: openai.OpenAI) -> str:
    answer = client.chat.completions.create(model=MODEL, messages=[QUESTION])
    return answer.choices[0].message.content or ""


def _streamed(client: openai.OpenAI) -> tuple[str, int]:
    text, tokens = "", 0
    with client.chat.completions.create(
        model=MODEL, messages=[QUESTION], stream=True, stream_options={"include_usage": True}
    ) as stream:
        for chunk in stream:
            text += "".join(choice.delta.content or "" for choice in chunk.choices)
            tokens = chunk.usage.completion_tokens if chunk.usage else tokens
    return text, tokens


@asynccontextmanager
async def _pair(tmp_path: Path) -> AsyncIterator[tuple[Simulator, Sidecar]]:
    async with (
        run_simulator(tmp_path, "--latency", "0.05") as simulator,
        run_sidecar(upstream=simulator.url, state_dir=tmp_path) as sidecar,
    ):
        yield simulator, sidecar


async def _with_client(sidecar: Sidecar, use: Callable[[openai.OpenAI], T]) -> T:
    def work() -> T:
        # trust_env off: a proxy in the machine's environment is not part of this.
        with (
            openai.DefaultHttpxClient(trust_env=False) as http,
            openai.OpenAI(
                base_url=sidecar.url, api_key="the-clients-own", max_retries=0, timeout=60, http_client=http
            ) as client,
        ):
            return use(client)

    with trio.fail_after(90):
        return await trio.to_thread.run_sync(work)


async def _statuses(simulator: Simulator) -> list[int]:
    return [record["status"] for record in await simulator.requests(CHAT)]
