"""The keys go to the upstream, in one header, and nowhere else."""

from pathlib import Path

import pytest
import trio

from proxy.simulator import Config, open_simulator
from tests.integration.clients import Client, begin, chat, open_client, rest
from tests.integration.processes import Sidecar, run_sidecar

pytestmark = pytest.mark.integration

OURS = "nvapi-canary-of-the-sidecar-7f3a"
CLIENTS = "canary-of-the-client-91cc"
SETTINGS = {"SIDECAR_API_KEY": OURS, "SIDECAR_MAX_RETRIES": "0", "SIDECAR_LOG_LEVEL": "DEBUG"}
FAULTS = ("echo-key", "500", "401", "reset", "garbage", "bad-header", "302", "headers")


@pytest.mark.needs("/proc")
async def test_no_key_is_found_anywhere_after_all_that_can_go_wrong(tmp_path: Path) -> None:
    with trio.fail_after(30):
        async with (
            open_simulator(Config(latency=0)) as simulator,
            run_sidecar(upstream=simulator.url, state_dir=tmp_path, env=SETTINGS) as sidecar,
            open_client(sidecar) as client,
        ):
            shown = [await _answers(client)]
            for fault in FAULTS:
                simulator.script_fault(fault, count=1)
                shown.append((await client.ask(headers={"x-agent-id": fault})).text)
            simulator.script_fault("reset-in-stream", count=1)
            shown.append((await rest(await begin(sidecar, chat(stream=True)))).decode())
            shown.append(await _answers(client))
            simulator.script_fault("429", count=1)  # last: the model has a pause after it
            shown.append((await client.ask()).text)
            shown.append(_of_the_process(sidecar))
            sent = {record.header("authorization") for record in simulator.requests if record.model}
            assert sent == {f"Bearer {OURS}"}
        shown.append(sidecar.said())
        shown += _files(tmp_path)
    for text in shown:
        assert OURS not in text
        assert CLIENTS not in text


async def _answers(client: Client) -> str:
    """What its own endpoints tell, and a good answer with its headers."""
    own = ("/health", "/health/ready", "/status", "/api/capacity", "/api/agents", "/openapi.json", "/nothing")
    texts = [(await client.get(path)).text for path in own]
    answer = await client.ask(headers={"authorization": f"Bearer {CLIENTS}"})
    assert answer.status_code == 200
    return "\n".join([*texts, await client.metrics(), str(answer.headers), answer.text])


def _of_the_process(sidecar: Sidecar) -> str:
    """What every user of the machine can see of it."""
    return Path(f"/proc/{sidecar.process.pid}/cmdline").read_text(encoding="utf-8")


def _files(directory: Path) -> list[str]:
    """The state, and both outputs."""
    return [path.read_bytes().decode("latin-1") for path in directory.rglob("*") if path.is_file()]
