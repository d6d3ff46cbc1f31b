"""Files that are replaced whole or not at all."""

import os
import stat
from pathlib import Path

import pytest

from shared.files import replace_file


def test_a_file_that_is_there_is_replaced_and_one_that_is_not_is_made(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    for content in (b"one", b"another"):
        replace_file(file, content)
        assert file.read_bytes() == content
    assert [*tmp_path.iterdir()] == [file]


def test_it_is_its_owners_alone_unless_somebody_says_otherwise(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        replace_file(tmp_path / "private", b"")
        replace_file(tmp_path / "plain", b"", mode=0o666)
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("private", "plain")]
    assert modes == [0o600, 0o640]


def test_a_link_is_replaced_and_what_it_leads_to_stays(tmp_path: Path) -> None:
    elsewhere, link = tmp_path / "elsewhere", tmp_path / "link"
    elsewhere.write_bytes(b"theirs")
    link.symlink_to(elsewhere)
    (tmp_path / ".link.new").symlink_to(elsewhere)  # laid where the draft is going to be
    replace_file(link, b"ours")
    assert (elsewhere.read_bytes(), link.read_bytes()) == (b"theirs", b"ours")
    assert not link.is_symlink()


def test_what_a_process_that_was_killed_has_left_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / ".file.new").write_bytes(b"half of")
    replace_file(tmp_path / "file", b"whole")
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_where_it_cannot_be_written_everything_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    file = tmp_path / "file"
    replace_file(file, b"before")
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        replace_file(file, b"after")
    assert file.read_bytes() == b"before"
    assert [*tmp_path.iterdir()] == [file]
