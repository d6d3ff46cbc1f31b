import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from shared.errors import StartError
from shared.statedir import open_state_dir


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_is_created_is_the_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    with capture_logs() as lines:
        state = open_state_dir(path, "x.lock")
    assert [mode(each) for each in (path, path.parent)] == [0o700, 0o700]
    assert mode(path / "x.lock") == 0o600
    assert state.path == path
    assert lines == []
    state.close()


def test_what_exists_is_warned_about_and_left_alone(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with capture_logs() as lines:
        open_state_dir(str(tmp_path), "x.lock").close()
    assert mode(tmp_path) == 0o755
    assert [line["event"] for line in lines] == ["state_dir_open_to_others"]


def test_a_second_holder_is_told_who_the_first_is(tmp_path: Path) -> None:
    first = open_state_dir(tmp_path, "x.lock")
    with pytest.raises(StartError, match=f"in use by process {os.getpid()} ") as caught:
        open_state_dir(tmp_path, "x.lock")
    assert caught.value.exit_code == 1
    assert len(caught.value.lines) == 1
    open_state_dir(tmp_path, "y.lock").close()
    first.close()
    open_state_dir(tmp_path, "x.lock").close()


def test_a_holder_that_died_holds_nothing(tmp_path: Path) -> None:
    code = (
        f"import os; from shared.statedir import open_state_dir; open_state_dir({str(tmp_path)!r}, 'x.lock');"
        "os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    open_state_dir(tmp_path, "x.lock").close()


@pytest.mark.parametrize("obstacle", ["a file", "a file above", "a symlink for a lock"])
def test_an_obstacle_is_one_plain_line(tmp_path: Path, obstacle: str) -> None:
    path = tmp_path / "dir"
    if obstacle == "a symlink for a lock":
        path.mkdir(mode=0o700)
        (path / "x.lock").symlink_to(tmp_path / "elsewhere")
    else:
        path.write_text("")
    if obstacle == "a file above":
        path /= "below"
    with pytest.raises(StartError, match="cannot use the state directory") as caught:
        open_state_dir(path, "x.lock")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_disk_that_cannot_be_written_is_told_and_gone_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", refuse)
    with capture_logs() as lines:
        state_dir = open_state_dir(tmp_path / "state", "x.lock")
    assert [line["event"] for line in lines] == ["state_dir_unusable"]
    state_dir.close()
