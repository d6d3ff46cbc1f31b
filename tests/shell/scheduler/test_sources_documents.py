"""To-do documents: what is an item, what stays as it was, and which files are read."""

import errno
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from scheduler.core.exchange.items import Stage
from scheduler.core.task import Priority
from scheduler.roster import Roster
from scheduler.roster.model import CLASSES, agent_of
from scheduler.sources import todo_files
from scheduler.sources.protocol import SourceRefusedError, SourceUnavailableError
from scheduler.sources.todo import TodoFiles
from scheduler.sources.todo_document import Mark, NoDocumentError, Word, changed, entries_of, sentence

DOCUMENT = """\
\ufeff- [ ] First, with a byte order mark
# Heading
* [ ] A star
+ [x] A cross
1. [ ] A number
  23) [X] Another, indented
\t- [ ] A tab
- [ ]no space
- [] no box
-[ ] no list
- [ ]   \t
- [y] another letter
- [ ] Spaces behind  \r
```sh
- [ ] in code
````
- [ ] behind a fence that is longer
~~~
- [ ] in other code
```
~~~
- ```
  - [ ] in code of an item
  ```
`- [ ] quoted`
```one line```
- [ ] behind code of one line
<!--
- [ ] in a comment
-->
- [ ] behind a comment <!-- theirs -->
- [ ] First, with a byte order mark
"""
TEXTS = [
    "First, with a byte order mark",
    "A star",
    "A cross",
    "A number",
    "Another, indented",
    "A tab",
    "Spaces behind",
    "behind a fence that is longer",
    "behind code of one line",
    "behind a comment <!-- theirs -->",
    "First, with a byte order mark",
]


def test_items_are_lines_with_a_box_outside_of_code_and_comments() -> None:
    entries = entries_of(DOCUMENT.encode())
    assert [entry.text for entry in entries] == TEXTS
    assert [entry.text for entry in entries if entry.ticked] == ["A cross", "Another, indented"]
    lines = DOCUMENT.encode().splitlines()
    assert all(entry.text in lines[entry.line - 1].decode() for entry in entries)


def test_the_same_text_again_is_the_second_of_it_whichever_is_ticked() -> None:
    first, second = (entry for entry in entries_of(DOCUMENT.encode()) if entry.text == TEXTS[0])
    assert second.key == f"{first.key}.2"
    ticked = changed(DOCUMENT.encode(), first, ticked=True, mark=None)
    assert second in entries_of(ticked)


@pytest.mark.parametrize("number", range(len(TEXTS)))
def test_a_mark_and_a_cross_change_nothing_else_and_not_the_key(number: int) -> None:
    document = DOCUMENT.encode()
    entry = entries_of(document)[number]
    line = document.splitlines(keepends=True)[entry.line - 1]
    marked = changed(document, entry, ticked=entry.ticked, mark=Mark(Word.BLOCKED, "ops", "Which?"))
    now = entries_of(marked)[number]
    assert (now.key, now.text, now.mark) == (entry.key, entry.text, Mark(Word.BLOCKED, "ops", "Which?"))
    assert now.stage is (Stage.DONE if entry.ticked else Stage.BLOCKED)
    again = changed(marked, now, ticked=now.ticked, mark=Mark(Word.IN_PROGRESS, "ops"))
    assert again.count(b"<!-- clawpace") == 1
    assert changed(again, now, ticked=now.ticked, mark=None) == document
    ticked = changed(document, entry, ticked=True, mark=None)
    changed_line = ticked.splitlines(keepends=True)[entry.line - 1]
    assert changed_line == (line if entry.ticked else line.replace(b"[ ]", b"[x]", 1))
    assert ticked.replace(changed_line, line, 1) == document or entry.ticked


ODD_TEXT = st.text(st.sampled_from("ab []-*`~#<!->\t \r\n\ufeff\u2028\x0b1.xX:"), max_size=60)


@given(st.lists(st.one_of(ODD_TEXT, st.just("- [ ] x"), st.just("```"), st.just("\n"))), st.text(max_size=30))
def test_whatever_a_document_holds_only_our_mark_is_added_and_taken_away(parts: list[str], said: str) -> None:
    document = "".join(parts).encode("utf-8", "replace")
    entries = entries_of(document)
    for number, entry in enumerate(entries):
        mark = Mark(Word.GIVEN_BACK, "ops", sentence(said))
        marked = changed(document, entry, ticked=entry.ticked, mark=mark)
        assert marked != document
        if entry.mark is None:
            now = entries_of(marked)
            assert [each.key for each in now] == [each.key for each in entries]
            assert now[number].mark == mark
            assert changed(marked, now[number], ticked=entry.ticked, mark=None) == document


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("two\nlines\r\n", "two lines"),
        ("--> <b>", "—> <b>"),
        ("ends with --", "ends with —"),
        ("a - ", "a"),
        ("\x1b[31m\u202ered", "[31m red"),
        ("x" * 300, "x" * 199 + "…"),
        ("", ""),
    ],
)
def test_what_is_said_in_a_mark_is_one_short_line_that_ends_no_comment(text: str, line: str) -> None:
    assert sentence(text) == line


@pytest.mark.parametrize(
    ("text", "priority"),
    [
        ("!urgent water", Priority.URGENT),
        ("water !HIGH", Priority.HIGH),
        ("water (!low)", Priority.NORMAL),
        ("water !low, please", Priority.LOW),
        ("not!urgent", Priority.NORMAL),
        ("!urgently", Priority.NORMAL),
    ],
)
def test_a_word_says_how_urgent_it_is(text: str, priority: Priority) -> None:
    (entry,) = entries_of(f"- [ ] {text}".encode())
    assert entry.priority is priority


@pytest.mark.parametrize("document", [b"- [ ] \xff", b"- [ ] a\0", "- [ ] a".encode("utf-16")])
def test_what_is_no_text_is_no_document(document: bytes) -> None:
    with pytest.raises(NoDocumentError):
        entries_of(document)


@pytest.mark.parametrize(
    "line",
    [
        "- [ ] a" + " " * 300_000 + "b",
        "- [ ] " + "<!-- clawpace: note: " * 50_000,
        "-" + " " * 300_000,
        "`" * 300_000,
    ],
    ids=lambda line: line[:12],
)
def test_no_line_takes_long(line: str) -> None:
    document = (line + "\n").encode()
    for entry in entries_of(document):
        assert changed(document, entry, ticked=False, mark=None) == document


# -- files -----------------------------------------------------------------------------------------------


def a_roster(**patterns: tuple[str, ...]) -> Roster:
    rules = CLASSES["development"]
    agents = {
        name: replace(agent_of(name, "development", rules, missed="run_once"), todo_files=files)
        for name, files in patterns.items()
    }
    return Roster(agents, CLASSES, {}, {}, "UTC", "run_once", None, None, ())


def a_source(base: Path, **patterns: tuple[str, ...]) -> TodoFiles:
    roster = a_roster(**patterns)
    return TodoFiles(lambda: roster, base)


def owner(file: Path) -> tuple[int, int]:
    return file.stat().st_uid, file.stat().st_gid


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


async def titles(source: TodoFiles) -> list[str]:
    return [item.title for item in await source.list_all()]


async def test_patterns_begin_at_the_base_at_home_or_at_the_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, home, other = (tmp_path / name for name in ("base", "home", "other"))
    for directory in (base, home / "notes/deep", other):
        directory.mkdir(parents=True)
        (directory / "todo.md").write_text(f"- [ ] In {directory.name}\n", encoding="utf-8")
    (home / "notes/.hidden.md").write_text("- [ ] Hidden\n", encoding="utf-8")
    monkeypatch.setenv("HOME", str(home))
    source = a_source(base, ops=("todo.md", "~/notes/**/*.md", f"{other}/t?do.md", "missing.md", "no/*.md"))
    assert await titles(source) == ["In base", "In deep", "In other"]


async def test_a_document_belongs_to_the_first_agent_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("- [ ] One\n", encoding="utf-8")
    source = a_source(tmp_path, ops=("a.md", "./a.md"), main=("*.md",))
    assert [item.agent for item in await source.list_all()] == ["ops"]


async def test_a_link_is_followed_where_it_is_named_and_not_out_of_what_a_wildcard_names(
    tmp_path: Path,
) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    (outside / "secret.md").write_text("- [ ] Not ours\n", encoding="utf-8")
    (inside / "real.md").write_text("- [ ] Ours\n", encoding="utf-8")
    (inside / "out.md").symlink_to(outside / "secret.md")
    (inside / "way").symlink_to(outside)
    (inside / "again.md").symlink_to(inside / "real.md")
    (inside / "loop.md").symlink_to(inside / "loop.md")
    assert await titles(a_source(tmp_path, ops=("inside/**/*.md",))) == ["Ours"]
    source = a_source(tmp_path, ops=("inside/out.md",))
    (item,) = await source.list_all()
    assert item.title == "Not ours"
    await source.finish(item.external_id, a_roster(ops=()).agents["ops"], "", summary="")
    assert (inside / "out.md").is_symlink()
    assert "[x] Not ours" in (outside / "secret.md").read_text(encoding="utf-8")


async def test_what_cannot_be_read_is_told_once_and_the_others_are_read(tmp_path: Path) -> None:
    (tmp_path / "good.md").write_text("- [ ] Good\n", encoding="utf-8")
    (tmp_path / "latin.md").write_bytes(b"- [ ] \xe4\n")
    (tmp_path / "binary.md").write_bytes(b"\0" * 100)
    (tmp_path / "large.md").write_bytes(b"x" * (todo_files.MAX_BYTES + 1))
    (tmp_path / "directory.md").mkdir()
    os.mkfifo(tmp_path / "pipe.md")
    files = ("good.md", "latin.md", "binary.md", "large.md", "directory.md", "pipe.md", "~nobody-at-all/x.md")
    source = a_source(tmp_path, ops=files)
    with capture_logs() as logs:
        assert await titles(source) == ["Good"]
        assert await titles(source) == ["Good"]
    told = {Path(log["file"]).name: log["reason"] for log in logs}
    assert len(logs) == len(told)
    assert told["latin.md"] == "it is not UTF-8"
    assert told["binary.md"] == "it is not text"
    assert told["large.md"] == "it is larger than 4 MB"
    assert (told["pipe.md"], told["directory.md"]) == ("it is not a file", "is a directory")


async def test_where_nothing_can_be_read_the_source_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "binary.md").write_bytes(b"\0")
    source = a_source(tmp_path, ops=("binary.md", "missing.md"))
    with pytest.raises(SourceUnavailableError, match=r"binary\.md: it is not text"):
        await source.list_all()
    assert await titles(a_source(tmp_path, ops=("missing.md",))) == []


async def test_a_wildcard_that_finds_a_whole_disk_is_told_and_has_an_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(todo_files, "MAX_FILES", 3)
    for number in range(5):
        (tmp_path / f"{number}.md").write_text("- [ ] One\n", encoding="utf-8")
    with capture_logs() as logs:
        assert len(await titles(a_source(tmp_path, ops=("*.md",)))) == 3
    assert [log["reason"] for log in logs] == ["it finds more than 3 files"]


async def test_a_document_keeps_its_mode_and_every_other_byte(tmp_path: Path) -> None:
    document = tmp_path / "a.md"
    before = "\ufeff# Title\r\n- [ ] One \t\r\n\r- [ ] Two\nno end".encode()
    document.write_bytes(before)
    document.chmod(0o640)
    source, ops = a_source(tmp_path, ops=("a.md",)), a_roster(ops=()).agents["ops"]
    one, _ = await source.list_all()
    await source.claim(one.external_id, ops)
    assert document.read_bytes() == before.replace(
        b"One \t\r\n", b"One \t <!-- clawpace: in progress by ops -->\r\n"
    )
    await source.finish(one.external_id, ops, "", summary="Done.")
    done = b"- [x] One \t <!-- clawpace: done by ops: Done. -->\r\n"
    assert document.read_bytes() == before.replace(b"- [ ] One \t\r\n", done)
    assert stat.S_IMODE(document.stat().st_mode) == 0o640
    assert names(tmp_path) == ["a.md"]


async def test_a_line_that_says_something_else_now_is_not_ticked(tmp_path: Path) -> None:
    document = tmp_path / "a.md"
    document.write_text("- [ ] Water the plants\n", encoding="utf-8")
    source, ops = a_source(tmp_path, ops=("a.md",)), a_roster(ops=()).agents["ops"]
    (item,) = await source.list_all()
    document.write_text("# New\n\n- [ ] Water the plants\n", encoding="utf-8")  # moved: the same
    await source.claim(item.external_id, ops)
    document.write_text("- [ ] Water no plants\n", encoding="utf-8")
    with pytest.raises(SourceRefusedError, match="says something else"):
        await source.finish(item.external_id, ops, "", summary="Done.")
    assert document.read_text(encoding="utf-8") == "- [ ] Water no plants\n"


async def test_a_document_that_another_writes_at_the_same_time_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = tmp_path / "a.md"
    document.write_text("- [ ] One\n", encoding="utf-8")
    source, ops = a_source(tmp_path, ops=("a.md",)), a_roster(ops=()).agents["ops"]
    (item,) = await source.list_all()
    really, times = todo_files.replace, 1

    def while_another_writes(read: todo_files.Document, content: bytes) -> None:
        nonlocal times
        if times:
            times -= 1
            with document.open("a", encoding="utf-8") as file:
                file.write("- [ ] Theirs\n")
        really(read, content)

    monkeypatch.setattr(todo_files, "replace", while_another_writes)
    await source.finish(item.external_id, ops, "", summary="")
    assert document.read_text(encoding="utf-8").endswith("-->\n- [ ] Theirs\n")
    times = 99
    document.write_text("- [ ] One\n", encoding="utf-8")
    with pytest.raises(SourceUnavailableError, match="somebody else"):
        await source.claim(item.external_id, ops)
    assert "clawpace" not in document.read_text(encoding="utf-8")


async def test_a_document_that_cannot_be_replaced_stays_as_it_is(tmp_path: Path) -> None:
    document = tmp_path / "a.md"
    document.write_text("- [ ] One\n", encoding="utf-8")
    source, ops = a_source(tmp_path, ops=("a.md",)), a_roster(ops=()).agents["ops"]
    (item,) = await source.list_all()
    (tmp_path / "second-name.md").hardlink_to(document)
    with pytest.raises(SourceUnavailableError, match="several names"):
        await source.claim(item.external_id, ops)
    assert document.read_text(encoding="utf-8") == "- [ ] One\n"
    assert names(tmp_path) == ["a.md", "second-name.md"]


async def test_a_disk_that_is_full_leaves_the_document_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = tmp_path / "a.md"
    document.write_text("- [ ] One\n", encoding="utf-8")
    source, ops = a_source(tmp_path, ops=("a.md",)), a_roster(ops=()).agents["ops"]
    (item,) = await source.list_all()

    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SourceUnavailableError, match=r"a\.md cannot be written: no space left"):
        await source.finish(item.external_id, ops, "", summary="Done.")
    assert document.read_text(encoding="utf-8") == "- [ ] One\n"
    assert names(tmp_path) == ["a.md"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
async def test_a_document_keeps_its_owner(tmp_path: Path) -> None:
    document = tmp_path / "a.md"
    document.write_text("- [ ] One\n", encoding="utf-8")
    os.chown(document, 1234, 2345)
    source, ops = a_source(tmp_path, ops=("a.md",)), a_roster(ops=()).agents["ops"]
    (item,) = await source.list_all()
    await source.finish(item.external_id, ops, "", summary="Done.")
    assert owner(document) == (1234, 2345)


async def test_names_that_no_board_can_hold_are_told(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["x" * 200] * 6)
    deep.mkdir(parents=True)
    (deep / "a.md").write_text("- [ ] Deep\n", encoding="utf-8")
    (tmp_path / "\udce4.md").write_text("- [ ] Latin\n", encoding="utf-8")
    (tmp_path / "good.md").write_text("- [ ] Good\n", encoding="utf-8")
    source = a_source(tmp_path, ops=("**/*.md", "x" * 300))
    with capture_logs() as logs:
        assert await titles(source) == ["Good"]
    assert sorted(log["reason"] for log in logs) == [
        "file name too long",
        "its name is not UTF-8",
        "its path is too long",
    ]


async def test_a_document_of_another_agent_now_is_refused_and_one_of_nobody_is_gone(tmp_path: Path) -> None:
    document = tmp_path / "a.md"
    document.write_text("- [ ] One\n", encoding="utf-8")
    rosters = [a_roster(ops=("a.md",))]
    source, ops = TodoFiles(lambda: rosters[-1], tmp_path), rosters[0].agents["ops"]
    (item,) = await source.list_all()
    rosters.append(a_roster(main=("a.md",)))
    with pytest.raises(SourceRefusedError, match="not ops's"):
        await source.claim(item.external_id, ops)
    rosters.append(a_roster(ops=()))
    assert (await source.look(item.external_id)).stage is Stage.GONE


async def test_a_long_line_is_a_cut_title_and_a_whole_description(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("- [ ] " + "x" * 600 + "\n- [ ] !high Short\n", encoding="utf-8")
    long, short = await a_source(tmp_path, ops=("a.md",)).list_all()
    assert (len(long.title), long.description) == (500, "x" * 600)
    assert (short.title, short.description, short.priority) == ("!high Short", "", Priority.HIGH)
    assert short.place == f"{tmp_path}/a.md:2"


async def test_a_document_that_is_away_says_nothing_of_its_lines(tmp_path: Path) -> None:
    away, there = tmp_path / "away.md", tmp_path / "there.md"
    away.write_text("- [ ] One\n", encoding="utf-8")
    there.write_text("- [ ] Two\n- [ ] Three\n", encoding="utf-8")
    source, ops = a_source(tmp_path, ops=("away.md", "t*.md")), a_roster(ops=()).agents["ops"]
    one, two, three = (item.external_id for item in await source.list_all())
    away.rename(tmp_path / "elsewhere")
    there.write_text("- [ ] Two\n", encoding="utf-8")
    assert await titles(source) == ["Two"]
    assert [(item.external_id, item.stage) for item in await source.look_all([one, two, three])] == [
        (two, Stage.TODO),
        (three, Stage.GONE),
    ]
    for ask in (
        lambda: source.look(one),
        lambda: source.claim(one, ops),
        lambda: source.finish(one, ops, "", summary="Done."),
    ):
        with pytest.raises(SourceUnavailableError, match=r"away\.md: it is not there"):
            await ask()
    (tmp_path / "elsewhere").rename(away)
    assert (await source.look(one)).stage is Stage.TODO
    # What a wildcard does not find any more is gone: whoever named it named no file.
    there.unlink()
    assert (await source.look(two)).stage is Stage.GONE
