"""Foreign commands: real ones, because what is promised is about processes."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from scheduler.commands import MULTICA, OPENCLAW, CommandError, Failure, Output, environment, run_command
from tests.integration.processes import until

# Starts another that holds stdout, hears no SIGTERM and never ends; then does as its argument says.
FAMILY = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time\\nwhile True: time.sleep(60)"])
print(child.pid, flush=True)
while sys.argv[1] == "stay": time.sleep(60)
"""
PATIENCE = 30.0


async def run(*argv: str, **more: Any) -> Output:
    settings: dict[str, Any] = {"environ": {}, "timeout_seconds": PATIENCE, **more}
    return await run_command(argv, **settings)


async def python(program: str, *argv: str, **more: Any) -> Output:
    return await run(sys.executable, "-c", program, *argv, **more)


async def test_a_command_says_what_it_says_and_how_it_ended() -> None:
    ended = await python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)")
    assert ended == Output(3, b"out\n", b"err\n")


async def test_what_stdin_holds_is_read_and_without_it_there_is_nothing_to_read() -> None:
    count = "import sys; print(len(sys.stdin.read()))"
    assert (await python(count, stdin=b"x" * 200_000)).stdout == b"200000\n"
    assert (await python(count)).stdout == b"0\n"


async def test_a_command_runs_where_it_is_told_with_the_environment_that_it_is_given(tmp_path: Path) -> None:
    ask = "import os; print(os.getcwd(), sorted(name for name in os.environ if name != 'LC_CTYPE'))"
    ended = await python(ask, cwd=tmp_path, environ={"ONLY": "this"})
    assert ended.stdout.decode() == f"{tmp_path} ['ONLY']\n"


async def test_a_command_that_a_signal_ended_says_which() -> None:
    ended = await python("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert ended.code == -signal.SIGKILL


async def test_a_program_is_looked_for_on_the_path_that_it_is_given(tmp_path: Path) -> None:
    program = tmp_path / "greet"
    program.write_text("#!/bin/sh\necho hello\n")
    program.chmod(0o755)
    assert (await run("greet", environ={"PATH": str(tmp_path)})).stdout == b"hello\n"


async def test_a_program_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    await refused(Failure.NOT_FOUND, str(tmp_path / "nobody"))
    await refused(Failure.NOT_FOUND, "nobody", environ={"PATH": str(tmp_path)})


async def test_a_program_that_may_not_be_run_cannot_be_started(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("no program")
    await refused(Failure.CANNOT_START, str(plain))
    await refused(Failure.CANNOT_START, str(tmp_path))


@pytest.mark.parametrize("argument", ["x" * 200_000_000, "a\0b"], ids=["too long", "with a NUL"])
async def test_an_argument_that_cannot_be_handed_over_is_no_surprise(argument: str) -> None:
    error = await refused(Failure.CANNOT_START, sys.executable, argument)
    assert len(str(error)) < 200


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOMEM])
async def test_a_machine_without_processes_or_memory_cannot_start_it(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(trio.lowlevel, "open_process", fail)
    error = await refused(Failure.CANNOT_START, "openclaw", "--token", "a secret")
    assert os.strerror(number).lower() in str(error)
    assert "secret" not in str(error)


async def test_a_disk_without_room_for_the_output_cannot_start_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("scheduler.commands.TemporaryFile", fail)
    await refused(Failure.CANNOT_START, "true")


async def test_a_grandchild_that_holds_the_output_keeps_nobody_waiting() -> None:
    ended = await python(FAMILY, "go")
    os.kill(int(ended.stdout), signal.SIGKILL)
    assert ended.code == 0


async def test_when_the_time_is_over_the_command_is_ended() -> None:
    await refused(Failure.TIMED_OUT, "/bin/sleep", "600", timeout_seconds=0.2)


async def test_who_cancels_a_command_goes_on_when_its_whole_family_is_ended_even_who_hears_no_sigterm(
    tmp_path: Path,
) -> None:
    told = tmp_path / "pid"
    shell = f'"$@" > {told}'
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run, "/bin/sh", "-c", shell, "sh", sys.executable, "-c", FAMILY, "stay")
        grandchild = int(await until(lambda: told.exists() and told.read_text(), PATIENCE))
        nursery.cancel_scope.cancel()
    await until(lambda: not running(grandchild), PATIENCE)  # whoever adopted it has to notice


async def test_a_command_that_says_too_much_is_ended() -> None:
    endless = "import sys\nwhile True: sys.stdout.write('x' * 4096)"
    await refused(Failure.TOO_MUCH_OUTPUT, sys.executable, "-c", endless, max_output_bytes=100_000)


async def test_a_command_that_ended_after_saying_too_much_is_no_better() -> None:
    long = "print('x' * 2000)"
    await refused(Failure.TOO_MUCH_OUTPUT, sys.executable, "-c", long, max_output_bytes=1000)


async def test_nothing_is_left_in_the_temporary_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    await python("print('out')", stdin=b"in")
    assert not list(await trio.Path(tmp_path).iterdir())


def test_a_foreign_command_is_given_what_is_on_the_list_and_nothing_of_ours() -> None:
    ours = {
        "SCHEDULER_ADMIN_TOKEN": "s",
        "SIDECAR_API_KEY": "s",
        "NVIDIA_API_KEY": "s",
        "DATABASE_URL": "s",
        "AUDIT_LOG_DIR": "s",
        "BLACKBOARD_CLAIM": "s",
        "STATE_DIRECTORY": "s",
        "NOTIFY_SOCKET": "s",
        "PYTHONPATH": "s",
    }
    theirs = {
        "HOME": "/home/claw",
        "LANG": "zh_CN.UTF-8",
        "LC_ALL": "C",
        "TZ": "Asia/Shanghai",
        "XDG_RUNTIME_DIR": "/run/user/1000",
        "https_proxy": "http://proxy:3128",
        "NO_PROXY": "localhost",
        "NODE_EXTRA_CA_CERTS": "/etc/ca.pem",
    }
    own = {OPENCLAW: {"OPENCLAW_STATE_DIR": "/srv/claw"}, MULTICA: {"MULTICA_TOKEN": "s"}}
    there = {**ours, **theirs, **own[OPENCLAW], **own[MULTICA], "PATH": "/usr/bin"}
    for program, its_own in own.items():
        given = environment(there, program, path_first=Path("/opt/clawpace/bin"))
        assert given == {**theirs, **its_own, "PATH": "/opt/clawpace/bin:/usr/bin"}


@pytest.mark.parametrize("environ", [{}, {"PATH": ""}])
def test_without_a_path_programs_are_looked_for_where_the_system_has_them(environ: dict[str, str]) -> None:
    assert environment(environ, OPENCLAW, path_first=Path("/opt/bin"))["PATH"] == f"/opt/bin:{os.defpath}"


async def refused(kind: Failure, *argv: str, **more: Any) -> CommandError:
    with pytest.raises(CommandError) as caught:
        await run(*argv, **more)
    assert caught.value.kind is kind
    return caught.value


def running(pid: int) -> bool:
    asked = ["ps", "-o", "stat=", "-p", str(pid)]
    states = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.split()
    return any(not state.startswith("Z") for state in states)
