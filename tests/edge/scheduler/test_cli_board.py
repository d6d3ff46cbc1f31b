"""Every command, on both ways to the board: the same answers, the same errors, the same exit codes."""

import json
import os
import re
import sys
import urllib.request
from datetime import datetime
from pathlib import Path

import pytest

from scheduler.cli.commands import cards, holding, overview, steering, upkeep
from scheduler.cli.printing import fitted, folded, soon
from scheduler.cli.ways import UNDER_A_CLAIM
from scheduler.core.errors import Refused
from scheduler.verbs import VERBS
from scheduler.verbs.bodies import Create, Decide, read
from shared.clock import rfc3339
from tests.edge.scheduler.commands import Shell
from tests.edge.scheduler.test_wire import CONTRACT


def claim(board: Shell, task: str = "T-0001", agent: str = "ada") -> str:
    return str(board.json("claim", task, "--agent", agent)["claim"])


def test_a_task_goes_all_the_way(board: Shell) -> None:
    made = board.json(
        "create", "--title", "Write it", "--description", "all of it", "--priority", "high",
        "--expect", "nonempty", "--expect", "json", "--review", "person", "--creator", "carl",
        "--not-before", "2020-03-01T17:30:00+08:00", "--max-turns", "9",
    )  # fmt: skip
    assert set(made) >= CONTRACT
    assert (made["id"], made["status"], made["priority"], made["creator"]) == (
        "T-0001",
        "pending",
        "high",
        "carl",
    )
    assert (made["expects"], made["not_before"]) == (["nonempty", "json"], "2020-03-01T09:30:00.000Z")
    claimed = board.json("claim", "--next", "--agent", "ada", "--ttl", "60")
    assert set(claimed) == {"id", "claim", "epoch", "expires_at", "task"}
    token = ("--claim", claimed["claim"])
    assert (
        board.json(*token, "heartbeat", "--turn", "2", "--note", "half", "--waiting-for", "ci")["turns"] == 2
    )
    assert board.json("comment", *token, "more text")["status"] == "working"
    assert board.json("observe", "T-0001", "the door is open", *token)["waiting_for"] is None
    handed_in = board.json("output", *token, "--text", "result", "--name", "r.json", "--final")
    assert (handed_in["status"], handed_in["output"]["name"]) == ("review", "r.json")
    assert board.json("decide", "T-0001", "--by", "paul", "--accept", "--reason", "good")["status"] == "done"
    card = board.json("read", "T-0001", "--events")
    assert [said["text"] for said in card["comments"]] == ["half", "more text"]
    assert [said["author"] for said in card["observations"]] == ["ada"]
    assert [(output["name"], output["author"]) for output in card["outputs"]] == [("r.json", "ada")]
    assert [decision["by"] for decision in card["decisions"]] == ["paul"]
    assert card["events"][-1]["what"] == "accept"
    assert "events" not in board.json("read", "T-0001")
    assert board.json("archive", "T-0001")["archived_at"] is not None
    assert board.json("list") == []
    assert len(board.json("list", "--archived")) == 1


def test_people_steer_a_task(board: Shell) -> None:
    board.json("create", "--title", "x", "--assignee", "ada")
    changed = board.json(
        "set", "T-0001", "--title", "y", "--assignee", "", "--max-turns", "5", "--priority", "low"
    )
    assert (changed["title"], changed["assignee"], changed["max_turns"]) == ("y", None, 5)
    assert board.json("set", "T-0001", "--max-turns", "0")["max_turns"] is None
    assert board.json("stop", "T-0001")["status"] == "blocked"
    assert board.json("answer", "T-0001", "go on")["status"] == "pending"
    assert board.json("block", "T-0001", "--reason", "which one?")["blocked_reason"] == "which one?"
    board.json("answer", "T-0001", "this one", "--author", "paul")
    assert board.json("cancel", "T-0001", "--reason", "no")["status"] == "failed"
    assert board.json("retry", "T-0001")["status"] == "pending"
    token = claim(board)
    assert board.json("release", "--claim", token, "--reason", "not mine")["status"] == "pending"
    assert board.json("fail", "T-0001", "--reason", "no")["status"] == "failed"
    assert [said["author"] for said in board.json("read", "T-0001")["comments"]] == ["olga", "paul"]


def test_a_list_is_an_array_of_the_tasks_that_are_asked_for(board: Shell) -> None:
    assert board.json("list") == []
    for number in range(4):
        board.json("create", "--title", str(number), *(("--assignee", "bob") if number % 2 else ()))
    claim(board)
    assert [task["title"] for task in board.json("list")] == ["0", "1", "2", "3"]
    assert [task["title"] for task in board.json("list", "--status", "claimed", "--status", "done")] == ["0"]
    assert [task["title"] for task in board.json("list", "--assignee", "bob", "--limit", "1")] == ["1"]
    assert [task["title"] for task in board.json("list", "--claimable")] == ["1", "2", "3"]


def test_lists_longer_than_a_page_are_whole(board: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cards, "_PAGE", 2)
    for number in range(5):
        board.json("create", "--title", str(number))
    assert [task["title"] for task in board.json("list")] == list("01234")
    assert [task["title"] for task in board.json("list", "--limit", "3")] == list("012")


def test_every_error_has_its_code_and_its_exit_code(board: Shell) -> None:
    board.json("create", "--title", "first")
    board.json("create", "--title", "second", "--depends-on", "T-0001")
    board.json("create", "--title", "third", "--assignee", "bob")
    board.json("create", "--title", "fourth", "--risk-tool", "delete_file")
    assert board.error("read", "T-0099") == (3, "not_found")
    assert board.error("claim", "nonsense", "--agent", "ada") == (3, "not_found")
    assert board.error("create", "--title", "x", "--depends-on", "T-0099") == (3, "not_found")
    assert board.error("claim", "T-0002", "--agent", "ada") == (4, "dependency_unmet")
    assert board.error("claim", "T-0003", "--agent", "ada") == (4, "not_assignee")
    assert board.error("claim", "T-0004", "--agent", "ada") == (4, "approval_required")
    assert board.error("retry", "T-0001") == (4, "illegal_transition")
    token = claim(board)
    assert board.error("claim", "T-0001", "--agent", "bob") == (4, "already_claimed")
    assert board.error("claim", "--next", "--agent", "carl") == (3, "nothing_claimable")
    board.json("release", "--claim", token)
    assert board.error("heartbeat", "--claim", token) == (4, "stale_claim")
    assert board.error("create", "--title", " ") == (2, "invalid")
    assert board.error("create", "--title", "x", "--priority", "very") == (2, "invalid")
    assert board.error("create", "--title", "x", "--not-before", "soon") == (2, "invalid")
    assert board.error("list", "--status", "new") == (2, "invalid")
    assert board.error("claim", "T-0001", "--agent", "ada", "--ttl", "0") == (2, "invalid")
    assert board.error("output", "T-0001", "--text", "x", "--name", "../../x") == (2, "invalid")
    assert board.error("release", "T-0001", "--claim", "nonsense") == (2, "invalid")


@pytest.mark.parametrize(
    "words",
    [
        ("explode",),
        ("list", "--bogus"),
        ("list", "--limit", "many"),
        ("list", "--limit", "0"),
        ("create",),
        ("create", "--title"),
        ("read",),
        ("claim", "T-0001"),
        ("claim", "--agent", "ada"),
        ("claim", "T-0001", "--next", "--agent", "ada"),
        ("claim", "T-0001", "--agent", "ada", "--ttl", "long"),
        ("claim", "T-0001", "--agent", "ada", "--ttl", "nan"),
        ("heartbeat",),
        ("heartbeat", "T-0001", "--turn", "two"),
        ("output", "T-0001"),
        ("output", "T-0001", "--text", "x", "-"),
        ("output", "T-0001", "T-0002", "--text", "x"),
        ("output", "T-0001", "--file", "missing.md"),
        ("output", "T-0001", "--file", "."),
        ("block", "T-0001"),
        ("cancel", "T-0001"),
        ("comment", "T-0001"),
        ("comment", "T-0001", "two", "words"),
        ("comment", "words"),
        ("decide", "T-0001"),
        ("decide", "T-0001", "--accept", "--rework"),
        ("create", "--title", "x", "--description", "d", "--description-file", "f"),
        ("create", "--title", "x", "--description-file", "missing"),
        ("set", "T-0001", "--max-turns", "x"),
    ],
)
def test_a_wrong_command_line_is_usage(board: Shell, words: tuple[str, ...]) -> None:
    assert board.error(*words) == (2, "usage")


def test_options_of_the_board_stand_before_and_after_the_command(board: Shell) -> None:
    before = list(board._before)
    board.json("create", "--title", "x")
    board.always()
    assert board("list", "--json", *before).json == board("--json", "list", *before).json


def test_text_of_others_is_data(board: Shell) -> None:
    title = "\x1b[31mred\x1b[0m [bold]--json[/bold]\r\n\u202eesrever ünïcödé 中文"
    assert board.json("create", "--title", title)["title"] == title
    assert board.json("list")[0]["title"] == title
    board.json("comment", "T-0001", "--author", "\x07[red]x", "--", "--flag-like \x1b]0;title\x07 text")
    for words in (("list",), ("read", "T-0001", "--events"), ("board",)):
        shown = board(*words).out
        assert shown.isprintable() or set(filter(lambda c: not c.isprintable(), shown)) == {"\n"}
        assert "[bold]" in shown
    assert board("list").out.count("\n") == 2
    assert "--flag-like" in board("read", "T-0001").out


def test_a_title_may_look_like_an_option(board: Shell) -> None:
    assert board.json("create", "--title", "--db")["title"] == "--db"


def test_an_output_comes_from_a_file_from_text_and_from_standard_input(board: Shell, tmp_path: Path) -> None:
    board.json("create", "--title", "x")
    big = os.urandom(3_000_001)
    (tmp_path / "bïg.bin").write_bytes(big)
    token = claim(board)
    assert (
        board.json("output", "--claim", token, "--file", str(tmp_path / "bïg.bin"))["output"]["name"]
        == "bïg.bin"
    )
    assert (
        board.json("output", "T-0001", "-", "--claim", token, stdin=b"\0piped\xff")["output"]["name"]
        == "output.md"
    )
    board.json("output", "-", "--claim", token, stdin=b"")
    board.json("output", "T-0001", "--text", "", "--name", "empty")
    outputs = board.json("read", "T-0001")["outputs"]
    contents = [(board.home / "artifacts" / output["path"]).read_bytes() for output in outputs]
    assert contents == [big, b"\0piped\xff", b"", b""]
    assert [output["author"] for output in outputs[:3]] == ["ada"] * 3


def test_a_description_comes_from_a_file_or_from_standard_input(board: Shell, tmp_path: Path) -> None:
    (tmp_path / "d.md").write_text("grüße\n", encoding="utf-8")
    made = board.json("create", "--title", "x", "--description-file", str(tmp_path / "d.md"))
    assert made["description"] == "grüße\n"
    assert board.json("set", "T-0001", "--description-file", "-", stdin=b"piped")["description"] == "piped"
    assert board.error("create", "--title", "x", "--description-file", "-", stdin=b"\xff") == (2, "usage")


def test_the_board_is_one_look_at_everything(board: Shell) -> None:
    assert board("board").out == "The board is empty.\n"
    for number in range(3):
        board.json("create", "--title", f"number {number}")
    claim(board)
    board.json("block", "T-0002", "--reason", "which?")
    seen = board.json("board")
    assert (seen["counts"]["claimed"], seen["counts"]["blocked"], seen["counts"]["done"]) == (1, 1, 0)
    assert [task["id"] for task in seen["tasks"]["pending"]] == ["T-0003"]
    shown = board("board").out
    for part in ("1 pending, 1 claimed, 1 blocked", "ada", "which?", "blackboard answer T-0002 TEXT"):
        assert part in shown


def test_a_terminal_gets_tables_that_are_drawn(board: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(overview.SHOWN + 2):
        board.json("create", "--title", f"[bold]number {number}")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    shown = board("board").out
    assert "[bold]number 0" in shown
    assert f"[bold]number {overview.SHOWN}" not in shown
    assert "… and 2 more" in shown
    assert "[bold]number 31" in board("list").out


def test_eighty_columns_show_ids_titles_and_moments_whole(
    board: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(8):
        board.json(
            "create", "--title", f"Write chapter {number:06}", "--assignee", "researcher",
            "--priority", "urgent", "--depends-on", "T-0001" if number else "",
        )  # fmt: skip
    claimed = board.json("claim", "T-0001", "--agent", "researcher")
    board.json("heartbeat", "--claim", claimed["claim"], "--waiting-for", "the continuous integration to end")
    board.json("block", "T-0008", "--reason", "which of the many chapters is meant here? " * 3)
    board.set(COLUMNS="80")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    shown = re.sub(r"\x1b\[\d+m", "", board("board").out)
    assert "\x1b" not in shown
    assert max(len(line) for line in shown.splitlines()) <= 80
    assert "\N{HORIZONTAL ELLIPSIS}" not in shown
    for number in range(8):
        assert f"T-{number + 1:04}" in shown
        assert f"Write chapter {number:06}" in shown
    assert shown.count("urgent") == 6
    assert shown.count("researcher") == 7


@pytest.mark.parametrize(
    ("heads", "needed", "widths"),
    [
        (("ID", "TITLE", "BECAUSE"), (6, 30, 40), [6, 30, 40]),
        (("ID", "TITLE", "BECAUSE"), (6, 30, 90), [6, 30, 40]),
        (("ID", "TITLE", "BECAUSE"), (6, 90, 90), [6, 54, 16]),
        (("ID", "AGENT", "TITLE", "BECAUSE"), (6, 36, 90, 90), [6, 36, 20, 12]),
        (("ID", "AGENT", "TITLE", "BECAUSE"), (6, 50, 90, 90), None),
        (("SOURCE", "ID", "PRIORITY", "TITLE", "PLACE"), (9, 36, 8, 40, 20), [9, 36, 8, 11, 8]),
    ],
)
def test_reasons_become_narrow_first_and_titles_down_to_twenty(
    heads: tuple[str, ...], needed: tuple[int, ...], widths: list[int] | None
) -> None:
    assert fitted(heads, needed, 80) == widths


def test_a_sentence_goes_on_below_itself_and_an_address_stays_whole() -> None:
    line = "note: nothing answers at http://127.0.0.1:8081/v1/chat-completions: start it"
    assert folded(line, None) == folded(line, len(line)) == line
    assert folded(line, 30).splitlines() == [
        "note: nothing answers at",
        "  http://127.0.0.1:8081/v1/chat-completions:",
        "  start it",
    ]


def test_a_start_is_told_as_soon_as_it_is() -> None:
    noon = datetime(2026, 3, 1, 12).astimezone().timestamp()
    assert soon(None, noon) == "-"
    assert soon(rfc3339(noon - 5), noon) == "now"
    assert soon(rfc3339(noon + 20), noon) == "in 20 s"
    assert soon(rfc3339(noon + 4_800), noon) == "13:20"
    assert soon(rfc3339(noon + 91_200), noon) == "2026-03-02 13:20"


def test_a_short_result_can_be_read_on_the_page(board: Shell) -> None:
    board.json("create", "--title", "x", "--review", "person")
    board.json("output", "T-0001", "--text", "all of it\x1b[2J", "--name", "all.md")
    shown = board("read", "T-0001").out
    place = shown.index("all.md\n")
    assert "\n\nall of it\\x1b[2J\n" in shown[place:]


@pytest.mark.parametrize("text", ["\0", " \n", "x" * 4_097, "line\n" * 41])
def test_of_a_result_that_is_no_short_text_only_its_place_is_shown(board: Shell, text: str) -> None:
    board.json("create", "--title", "x", "--review", "person")
    (board.home / "result").write_text(text)
    board.json("output", "T-0001", "--file", "result", "--name", "all.md")
    assert board("read", "T-0001").out.endswith("/all.md\n")


def test_what_was_handed_in_stands_where_it_came_and_where_it_lies(board: Shell) -> None:
    board.json("create", "--title", "x", "--review", "person")
    for name, text in (("a b.md", "first"), ("a b.md", "second")):
        board.json("comment", "T-0001", f"before {text}")
        board.json("output", "T-0001", "--text", text, "--name", name)
    shown = board("read", "T-0001").out
    said = [shown.index(text) for text in ("before first", ", 5 bytes", "before second", ", 6 bytes")]
    assert said == sorted(said)
    places = [line for line in shown.splitlines() if line.startswith(("/", "http://"))]
    if "--url" in board._before:
        paths = [place.partition("/api/")[2] for place in places]
        assert paths == [f"blackboard/tasks/T-0001/outputs/{name}" for name in ("1", "a%20b.md")]
        contents = [urllib.request.urlopen(place).read() for place in places]  # noqa: S310 - ours
    else:
        contents = [Path(place).read_bytes() for place in places]
    assert contents == [b"first", b"second"]


def test_only_what_a_person_reviews_is_a_persons_to_accept(board: Shell) -> None:
    for review in ("person", "accept_nonempty"):
        task = board.json("create", "--title", "x", "--review", review)["id"]
        board.json("output", "--claim", claim(board, task), "--text", "x", "--final")
    shown = board("board").out
    assert "blackboard read T-0001, then blackboard decide T-0001 --accept" in shown
    assert "being checked" in shown
    assert "decide T-0002" not in shown


def test_what_a_task_waits_for_and_why_it_failed_is_called_so(board: Shell) -> None:
    board.json("create", "--title", "x")
    token = claim(board)
    board.json("heartbeat", "--claim", token, "--waiting-for", "the build")
    assert "waiting for: the build" in " ".join(board("read", "T-0001").out.split())
    assert "the build" in board("board").out
    board.json("fail", "--claim", token, "--reason", "no compiler")
    shown = " ".join(board("read", "T-0001").out.split())
    assert "failed: no compiler" in shown
    assert "blocked:" not in shown


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("set", "T-0001", "--priority", "hi"), "priority is urgent, high, normal or low, not 'hi'"),
        (
            ("list", "--status", "new"),
            "status is pending, claimed, working, review, done, blocked or failed, not 'new'",
        ),
    ],
)
def test_a_wrong_word_is_told_with_the_right_ones(board: Shell, words: tuple[str, ...], told: str) -> None:
    board.json("create", "--title", "x")
    assert told in board(*words).err


@pytest.mark.parametrize(
    ("kind", "body", "told"),
    [
        (Create, {"titel": "x"}, "unknown field 'titel': did you mean 'title'?"),
        (Create, {"title": "x", "zzz": 1}, "unknown field 'zzz'"),
        (
            Create,
            {"title": "x", "source": "post"},
            "source is blackboard, workboard, multica or todo, not 'post'",
        ),
        (Decide, {"decision": "yes"}, "decision is accept, rework, approve or reject, not 'yes'"),
    ],
)
def test_a_wrong_field_is_told_with_what_was_meant(
    kind: type[Create | Decide], body: dict[str, object], told: str
) -> None:
    with pytest.raises(Refused) as refused:
        read(kind, body, strict=True)
    assert refused.value.message == told


def test_who_names_an_agent_does_not_mean_the_claim_of_the_environment(board: Shell) -> None:
    for title in ("mine", "another", "a third"):
        board.json("create", "--title", title)
    board.set(BLACKBOARD_CLAIM=claim(board))
    assert board.json("claim", "--next", "--agent", "bob")["task"]["claimant"] == "bob"
    assert board.json("claim", "T-0003", "--agent", "carl")["task"]["claimant"] == "carl"
    board.json("fail", "T-0001", "--reason", "over")
    board.json("retry", "T-0001")
    assert board.json("claim", "T-0001", "--agent", "carl")["task"]["claimant"] == "carl"


def test_an_empty_word_empties_what_may_be_empty(board: Shell) -> None:
    board.json("create", "--title", "first")
    board.json(
        "create",
        "--title",
        "second",
        "--depends-on",
        "T-0001",
        "--expect",
        "json",
        "--not-before",
        "2030-01-01T00:00:00Z",
    )
    freed = board.json("set", "T-0002", "--depends-on", "", "--expect", "", "--not-before", "")
    assert (freed["depends_on"], freed["expects"], freed["not_before"]) == ([], [], None)


def test_a_claim_in_the_environment_speaks_for_its_own_task_alone(board: Shell) -> None:
    board.json("create", "--title", "mine")
    board.json("create", "--title", "another")
    board.set(BLACKBOARD_CLAIM=claim(board))
    assert board.json("heartbeat", "--note", "here")["claimant"] == "ada"
    assert board.json("comment", "T-0002", "said by hand")["status"] == "pending"
    assert [said["author"] for said in board.json("read", "T-0002")["comments"]] != ["ada"]
    assert board.json("claim", "--next")["task"]["claimant"] == "ada"
    assert board.json("stop", "T-0001")["status"] == "blocked"
    assert board.error("heartbeat") == (4, "stale_claim")


def test_for_people_there_are_sentences_and_tables(board: Shell) -> None:
    assert board("list").out == "No tasks.\n"
    assert board("create", "--title", "x", "--risk-tool", "delete_file").out == (
        "T-0001 is on the board: blocked. approval_required: it may use delete_file\n"
    )
    assert board("decide", "T-0001", "--approve").out == "T-0001 is pending.\n"
    said = board("claim", "T-0001", "--agent", "ada").out.splitlines()
    assert said[0].startswith("T-0001 is yours until ")
    token = said[1].removeprefix("export BLACKBOARD_CLAIM=")
    assert (
        board("output", "--claim", token, "--text", "x", "--final").out
        == "T-0001 has output.md, 1 bytes: review.\n"
    )
    assert board("decide", "T-0001", "--accept").out == "T-0001 is done.\n"
    assert board("archive", "T-0001").out == "T-0001 is done, out of the lists.\n"
    assert "export" not in board("read", "T-0001").out


def test_what_a_claim_allows_is_said_once() -> None:
    assert {name for name, verb in VERBS.items() if verb.holders and not verb.readers} == UNDER_A_CLAIM


def test_every_command_of_the_contract_is_there() -> None:
    modules = (cards, holding, steering, overview, upkeep)
    names = {command.__name__.rstrip("_") for module in modules for command in module.COMMANDS}
    assert names >= set(
        json.loads(
            '["create","list","read","board","watch","claim","release","heartbeat","output","block","fail","comment",'
            '"observe","decide","set","stop","cancel","retry","answer","archive","init","backup","restore","doctor"]'
        )
    )
