"""The installed command `blackboard`, as people and agents start it."""

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.processes import INHERITED

COMMAND = str(Path(sys.executable).with_name("blackboard"))
Run = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return inherited | {"HOME": str(tmp_path), "BLACKBOARD_DB": f"sqlite:///{tmp_path}/board.db"}


@pytest.fixture
def run(environ: dict[str, str], tmp_path: Path) -> Run:
    def run(*words: str | bytes, **more: object) -> subprocess.CompletedProcess[bytes]:
        options = {"env": environ, "cwd": tmp_path, "capture_output": True, "timeout": 60} | more
        return subprocess.run([COMMAND, *words], check=False, **options)  # type: ignore[call-overload, no-any-return]

    return run


def test_exit_codes_reach_the_shell(run: Run) -> None:
    assert run("create", "--title", "x").returncode == 0
    for code, words in {
        0: ("list", "--json"),
        2: ("list", "--bogus"),
        3: ("read", "T-0099"),
        4: ("retry", "T-0001"),
        5: ("--db", "sqlite:////nowhere/at/all.db", "list"),
    }.items():
        ended = run(*words)
        assert ended.returncode == code, ended
        assert b"Traceback" not in ended.stderr


def test_without_a_word_it_says_what_there_is(run: Run) -> None:
    ended = run()
    assert ended.returncode == 2
    assert b"heartbeat" in ended.stdout


def test_words_that_are_no_utf8_are_refused_in_words(run: Run) -> None:
    ended = run("create", "--title", b"\xff\xfe", "--json")
    assert ended.returncode == 2
    assert json.loads(ended.stdout)["error"]["code"] == "invalid"


def test_a_terminal_without_utf8_gets_escapes(run: Run, environ: dict[str, str]) -> None:
    assert run("create", "--title", "grüße 中文").returncode == 0
    ended = run("list", env=environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"})
    assert ended.returncode == 0
    assert b"gr\\xfc\\xdfe \\u4e2d\\u6587" in ended.stdout


def test_a_reader_that_has_seen_enough_is_no_error(run: Run, environ: dict[str, str]) -> None:
    words = ("create", "--title", "x", "--description-file", "-")
    assert run(*words, input=b"y" * 200_000).returncode == 0
    read_end, write_end = os.pipe()
    with subprocess.Popen(
        [COMMAND, "read", "T-0001"], env=environ, stdout=write_end, stderr=subprocess.PIPE
    ) as process:
        os.close(write_end)
        os.read(read_end, 10)
        os.close(read_end)
        _, told = process.communicate(timeout=60)
    assert (process.returncode, told) == (0, b"")


def test_a_large_output_streams(run: Run, tmp_path: Path) -> None:
    assert run("create", "--title", "x").returncode == 0
    large = tmp_path / "large.bin"
    with large.open("wb") as file:
        file.truncate(300 * 1024 * 1024)

    def at_most_250_mb() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (250 * 1024 * 1024,) * 2)

    ended = run("output", "T-0001", "--file", "large.bin", "--json", preexec_fn=at_most_250_mb)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["output"]["size_bytes"] == 300 * 1024 * 1024


def test_watch_tells_what_happens_and_ends_with_ctrl_c(
    run: Run, environ: dict[str, str], tmp_path: Path
) -> None:
    run("create", "--title", "x")
    said, told = tmp_path / "said", tmp_path / "told"
    with (
        said.open("wb") as out,
        told.open("wb") as err,
        subprocess.Popen(
            [COMMAND, "watch", "--json", "T-0001"], env=environ, stdout=out, stderr=err
        ) as process,
    ):
        try:
            for _ in range(60):  # when it begins to look, nothing tells
                run("create", "--title", "of no concern")
                run("comment", "T-0001", "look")
                if said.read_bytes().endswith(b"\n"):
                    break
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=30) == 0
        finally:
            process.kill()
    events = [json.loads(line) for line in said.read_bytes().splitlines()]
    assert {(event["task"], event["what"]) for event in events} == {("T-0001", "comment")}
    assert told.read_bytes() == b""


def test_a_shell_can_complete_it(run: Run, environ: dict[str, str]) -> None:
    asks = {"_BLACKBOARD_COMPLETE": "complete_bash", "COMP_WORDS": "blackboard hea", "COMP_CWORD": "1"}
    assert run(env=environ | asks).stdout.split() == [b"heartbeat"]


def test_the_version_is_told(run: Run) -> None:
    assert run("--version").stdout.startswith(b"blackboard ")


@pytest.mark.parametrize(
    "module", ["sqlalchemy", "alembic", "trio", "httpx", "pydantic", "rich", "structlog"]
)
def test_nothing_heavy_is_imported_before_it_is_needed(module: str) -> None:
    asked = f"import sys, scheduler.cli.__main__; sys.exit({module!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", asked], check=False, timeout=60).returncode == 0
