"""``nvidia-sim`` as a process."""

import json
import signal
import socket
import subprocess
import sys

import httpx
import pytest

NVIDIA_SIM = [sys.executable, "-m", "proxy.simulator"]


@pytest.mark.integration
@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_listens_and_ends_at_a_signal_even_with_a_request_in_flight(
    ending: signal.Signals,
) -> None:
    command = [*NVIDIA_SIM, "--port", "0", "--rpm", "3", "--workers", "a/b=0", "--latency", "lognormal:6,0.5"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        started = json.loads(process.stdout.readline())
        assert started["event"] == "nvidia_sim_started"
        assert started["url"] == f"http://127.0.0.1:{started['port']}/v1"
        body = {"model": "a/b", "messages": [{"role": "user", "content": "hi"}]}
        headers = {"Authorization": "Bearer k"}
        url = f"{started['url']}/chat/completions"
        with httpx.Client(trust_env=False, headers=headers) as client:
            answer = client.post(url, json=body)
            assert "(0/0)" in answer.text
            with pytest.raises(httpx.ReadTimeout):
                client.post(url, json={**body, "model": "fault/silence"}, timeout=0.05)
            process.send_signal(ending)
            assert process.wait(timeout=10) == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--host", "0.0.0.0"], "beyond loopback"),  # noqa: S104  # the very thing that is refused
        (["--latency", "soon"], "not a latency"),
        (["--workers", "many"], "NAME=N"),
    ],
)
def test_a_wrong_option_ends_it_with_2_and_a_reason(options: list[str], words: str) -> None:
    done = subprocess.run([*NVIDIA_SIM, *options], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stdout == ""


def test_a_port_that_is_taken_ends_it_with_1_and_a_reason() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        command = [*NVIDIA_SIM, "--port", str(taken.getsockname()[1])]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1
    assert "cannot listen" in done.stderr
    assert "Traceback" not in done.stderr
