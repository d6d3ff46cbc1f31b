import errno
import os
import stat
import threading
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from shared.admin_token import admin_token
from shared.errors import StartError


def test_a_configured_token_is_used_and_nothing_is_written(tmp_path: Path) -> None:
    assert admin_token("set-by-somebody", tmp_path / "token") == "set-by-somebody"
    assert list(tmp_path.iterdir()) == []


def test_the_first_start_makes_a_token_that_later_ones_keep(tmp_path: Path) -> None:
    file = tmp_path / "token"
    with capture_logs() as lines:
        token = admin_token("", file)
    assert len(token) >= 43  # 32 bytes in base64
    assert admin_token("", file) == token
    assert file.read_text() == f"{token}\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]
    assert [(line["event"], line["path"]) for line in lines] == [("admin_token_made", str(file))]
    assert token not in str(lines)


def test_the_file_is_its_owners_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        admin_token("", tmp_path / "token")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600


def test_each_board_has_a_token_of_its_own(tmp_path: Path) -> None:
    assert admin_token("", tmp_path / "one") != admin_token("", tmp_path / "two")


def test_two_that_start_together_end_up_with_the_same_token(tmp_path: Path) -> None:
    found: list[str] = []
    barrier = threading.Barrier(8)

    def start() -> None:
        barrier.wait()
        found.append(admin_token("", tmp_path / "token"))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert set(found) == {(tmp_path / "token").read_text().strip()}
    assert [path.name for path in tmp_path.iterdir()] == ["token"]


def test_the_slower_of_two_takes_the_token_of_the_quicker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    link = os.link

    def late(draft: Path, name: Path) -> None:
        file.write_text("of-the-quicker\n")
        file.chmod(0o600)
        link(draft, name)

    monkeypatch.setattr(os, "link", late)
    assert admin_token("", file) == "of-the-quicker"
    assert list(tmp_path.iterdir()) == [file]


def test_a_token_that_others_may_read_is_used_with_a_warning(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("a-token\n")
    file.chmod(0o644)
    with capture_logs() as lines:
        assert admin_token("", file) == "a-token"
    assert [line["event"] for line in lines] == ["admin_token_open_to_others"]
    assert "a-token" not in str(lines)


@pytest.mark.parametrize("content", [b"", b"\n", b"canary-1 canary-2", b"canary\xff", b"canary\ncanary"])
def test_a_file_without_a_token_ends_the_start_and_is_not_quoted(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    with pytest.raises(StartError, match="holds no token") as caught:
        admin_token("", file)
    assert caught.value.exit_code == 1
    assert str(file) in str(caught.value)
    assert "canary" not in str(caught.value)
    assert file.read_bytes() == content


def test_a_file_that_cannot_be_read_ends_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartError, match=r"cannot read the admin token file .* Not a directory"):
        admin_token("", tmp_path / "file" / "token")
    (tmp_path / "token").mkdir()
    with pytest.raises(StartError, match=r"cannot read the admin token file .* Is a directory"):
        admin_token("", tmp_path / "token")


def test_a_file_that_cannot_be_written_ends_the_start_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StartError, match=r"cannot write the admin token file .* No such file"):
        admin_token("", tmp_path / "none" / "token")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StartError, match="No space left"):
        admin_token("", tmp_path / "token")
    assert list(tmp_path.iterdir()) == []
