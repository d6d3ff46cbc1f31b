"""The checks of a task's outputs, run as the daemon runs them."""

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import pytest
import trio

from scheduler.checks import ChecksError, Finding, OutputFile, run, run_checks
from scheduler.checks.run import LONGEST_MESSAGE
from scheduler.core.expects import Check, Kind, parse

pytestmark = [pytest.mark.integration, pytest.mark.needs("minutes")]

EVIL: Final = "(a+)+$"
"""Tries every way to split a row of a's: twice as many with each further one."""


class Desk:
    """Where outputs are handed in, and the schemas and commands that they are checked by."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.outputs: list[OutputFile] = []
        self.commands: dict[str, tuple[str, ...]] = {}
        self.schemas = directory / "schemas"
        self.schemas.mkdir()

    def hand_in(self, content: str | bytes, name: str = "answer.md", *, final: bool = True) -> Path:
        path = self.directory / f"{len(self.outputs)}-{name}"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        self.outputs.append(OutputFile(name, path, path.stat().st_size, final))
        return path

    def schema(self, name: str, schema: object) -> None:
        self.schemas.joinpath(name).write_text(schema if isinstance(schema, str) else json.dumps(schema))

    def script(self, name: str, python: str) -> None:
        """A command of the roster, in Python."""
        self.commands[name] = (sys.executable, "-c", python)

    async def findings(self, *entries: str, seconds: float = 60) -> Sequence[Finding]:
        with trio.fail_after(90):
            return await run_checks(
                [parse(entry) for entry in entries],
                self.outputs,
                schema_dir=self.schemas,
                commands=self.commands,
                environ={**os.environ, "SECRET": "canary"},
                timeout_seconds=seconds,
            )

    async def says(self, *entries: str, seconds: float = 60) -> list[str]:
        return [str(finding) for finding in await self.findings(*entries, seconds=seconds)]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


async def test_an_output_that_is_as_expected_has_no_findings(desk: Desk) -> None:
    desk.hand_in('{"title": "Über", "pages": 3}', "report.json")
    desk.schema("report.json", {"type": "object", "required": ["title"]})
    desk.script("look", "import os, sys; sys.exit(not open(os.environ['OUTPUT']).read())")
    assert (
        await desk.says(
            "file:report.json",
            "nonempty",
            "regex:Ü.er",
            "json",
            "schema:report.json",
            "command:look",
        )
        == []
    )


async def test_what_is_wrong_is_told_in_the_order_of_the_checks_and_once(desk: Desk) -> None:
    desk.hand_in("# A report\n")
    assert await desk.says("json", "file:report.md", "regex:Summary", "nonempty", "command:lint", "json") == [
        "json: the output is no JSON: Expecting value at line 1, column 1",
        "file:report.md: no output has this name",
        "regex:Summary: nothing in the output matches",
        "command:lint: agents.yaml has no command of this name",
    ]


async def test_the_same_fault_is_told_in_the_same_words(desk: Desk) -> None:
    desk.hand_in("{")
    entries = ("regex:x", "json", "schema:none.json", "command:none", "file:none")
    assert await desk.findings(*entries) == await desk.findings(*entries)


async def test_nothing_to_check_is_nothing_wrong(desk: Desk) -> None:
    assert await desk.says() == []


async def test_without_a_final_output_only_files_can_be_there(desk: Desk) -> None:
    desk.hand_in("a draft", "draft.md", final=False)
    assert await desk.says("file:draft.md", "nonempty", "regex:a", "json", "schema:x", "command:x") == [
        f"{check}: there is no final output"
        for check in ("nonempty", "regex:a", "json", "schema:x", "command:x")
    ]


async def test_it_is_the_newest_final_output_that_is_looked_at(desk: Desk) -> None:
    desk.hand_in("first")
    desk.hand_in("second")
    desk.hand_in("a note on it", final=False)
    assert await desk.says("regex:second") == []
    assert await desk.says("regex:first") == ["regex:first: nothing in the output matches"]


async def test_an_empty_output_is_not_nonempty(desk: Desk) -> None:
    desk.hand_in("something")
    desk.hand_in("")
    assert await desk.says("nonempty") == ["nonempty: the final output is empty"]


async def test_a_hostile_regular_expression_ends_with_its_time(desk: Desk) -> None:
    desk.hand_in("a" * 60 + "!")
    assert await desk.says("regex:a!", f"regex:{EVIL}", "json", seconds=1) == [
        f"regex:{EVIL}: takes longer than 1 s"
    ]


async def test_the_daemon_goes_on_while_a_check_takes_its_time(desk: Desk) -> None:
    desk.hand_in("a" * 60 + "!")
    steps = 0

    async def work() -> None:
        nonlocal steps
        while True:
            await trio.sleep(0.01)
            steps += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(work)
        await desk.says(f"regex:{EVIL}", seconds=1)
        nursery.cancel_scope.cancel()
    assert steps > 10


async def test_cancelling_ends_the_child(desk: Desk) -> None:
    desk.hand_in("a" * 60 + "!")
    with trio.fail_after(10), trio.move_on_after(0.2) as impatience:
        await desk.says(f"regex:{EVIL}")
    assert impatience.cancelled_caught


async def test_twenty_megabytes_are_looked_through(desk: Desk) -> None:
    desk.hand_in("[" + '{"line": "words and 字"},\n' * 800_000 + '{"last": 1}]')
    desk.schema("lines.json", {"type": "array", "maxItems": 10})
    findings = await desk.says('regex:\\{"last": 1\\}\\]\\Z', "json", "schema:lines.json")
    assert len(findings) == 1
    assert findings[0].startswith("schema:lines.json: $: [{'line': 'words and 字'}, ")
    assert len(findings[0]) <= len("schema:lines.json: ") + LONGEST_MESSAGE


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps to a limit of address space")
async def test_an_output_that_needs_too_much_memory_is_a_finding(desk: Desk) -> None:
    desk.hand_in("[" + "[]," * 20_000_000 + "[]]")
    assert await desk.says("json", "regex:\\]\\]\\Z") == ["json: takes more than 1024 MB of memory"]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("", "Expecting value at line 1, column 1"),
        ("```json\n{}\n```", "Expecting value at line 1, column 1"),
        ('{"a": 1,\n "b": }', "Expecting value at line 2, column 7"),
        ("{} {}", "Extra data at line 1, column 4"),
        (b'"\xff"', "no UTF-8 at byte 1"),
        ("[NaN]", "NaN is no number"),
        ("[-Infinity]", "-Infinity is no number"),
    ],
)
async def test_json_is_json(desk: Desk, content: str | bytes, fault: str) -> None:
    desk.hand_in(content)
    (finding,) = await desk.findings("json")
    assert finding.message.startswith("the output is no JSON")
    assert finding.message.endswith(fault)


async def test_deep_nesting_is_a_finding(desk: Desk) -> None:
    desk.hand_in("[" * 100_000 + "]" * 100_000)
    desk.schema("any.json", {})
    assert await desk.says("json", "schema:any.json", "regex:]") == [
        "json: nested too deeply",
        "schema:any.json: nested too deeply",
    ]


async def test_a_schema_says_where_and_what(desk: Desk) -> None:
    desk.hand_in('{"items": [{"price": 1}, {"price": "2"}]}')
    price = {"properties": {"price": {"type": "number"}}}
    desk.schema("invoice.json", {"properties": {"items": {"items": price}}})
    assert await desk.says("schema:invoice.json") == [
        "schema:invoice.json: $.items[1].price: '2' is not of type 'number'"
    ]


async def test_what_is_no_json_fits_no_schema(desk: Desk) -> None:
    desk.hand_in("no JSON")
    desk.schema("all.json", {})
    (finding,) = await desk.says("schema:all.json")
    assert finding.startswith("schema:all.json: the output is no JSON: ")


@pytest.mark.parametrize(
    ("schema", "fault"),
    [
        ("[", "Expecting value"),
        ("[]", "neither an object nor true or false"),
        ({"type": "objct"}, "'objct' is not valid"),
        ({"$ref": "#/$defs/none"}, "it refers to /$defs/none, which is not in it"),
        ({"$ref": "file:///etc/passwd"}, "it refers to file:///etc/passwd, which is not in it"),
        ({"pattern": "("}, "is not a 'regex'"),
        ({"$schema": 3}, "schema"),
    ],
)
async def test_a_schema_that_is_of_no_use_says_so(desk: Desk, schema: object, fault: str) -> None:
    desk.hand_in('"text"')
    desk.schema("odd.json", schema)
    (finding,) = await desk.says("schema:odd.json")
    assert finding.startswith("schema:odd.json: the schema odd.json is of no use: ")
    assert fault in finding


async def test_a_schema_that_refers_to_itself_for_ever_ends(desk: Desk) -> None:
    desk.hand_in("{}")
    desk.schema("loop.json", {"$ref": "#"})
    assert await desk.says("schema:loop.json") == ["schema:loop.json: nested too deeply"]


async def test_what_a_schema_refers_to_elsewhere_is_never_fetched(desk: Desk, nursery: trio.Nursery) -> None:
    connected = trio.Event()

    async def hear(_stream: trio.SocketStream) -> None:
        connected.set()

    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, hear, [listener])
    url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}/schema.json"
    desk.hand_in("{}")
    desk.schema("remote.json", {"$ref": url})
    (finding,) = await desk.says("schema:remote.json")
    assert finding.endswith(f"it refers to {url}, which is not in it")
    assert not connected.is_set()


@pytest.mark.parametrize("name", ["../outside.json", "link.json", "loop", "missing.json"])
async def test_a_schema_is_one_of_the_operators_files(desk: Desk, name: str) -> None:
    desk.hand_in('"harmless"')
    outside = desk.directory / "outside.json"
    outside.write_text("false")
    (desk.schemas / "link.json").symlink_to(outside)
    (desk.schemas / "loop").symlink_to("loop")
    # Not parsed, because that would refuse the first.
    findings = await run_checks(
        [Check(Kind.SCHEMA, name)], desk.outputs, schema_dir=desk.schemas, commands={}, environ={}
    )
    assert [finding.message for finding in findings] == [f"the schema {name} is of no use: there is none"]


async def test_nothing_in_the_directory_of_an_output_is_imported(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.hand_in("{}")
    desk.schema("any.json", {})
    (desk.directory / "json.py").write_text("raise SystemExit(0)")
    (desk.directory / "jsonschema.py").write_text("raise SystemExit(0)")
    monkeypatch.chdir(desk.directory)
    monkeypatch.setenv("PYTHONPATH", str(desk.directory))
    assert await desk.says("regex:x", "schema:any.json") == ["regex:x: nothing in the output matches"]


async def test_a_command_gets_the_output_and_hardly_anything_else(desk: Desk) -> None:
    path = desk.hand_in("text")
    desk.script(
        "tell",
        "import json, os, sys; sys.exit(json.dumps([os.environ['OUTPUT'], os.getcwd(), sorted(os.environ)]))",
    )
    (finding,) = await desk.findings("command:tell")
    output, directory, names = json.loads(finding.message.removeprefix("exit code 1: "))
    assert output == str(path)
    assert directory == str(desk.directory.resolve())
    assert set(names) <= {"PATH", "HOME", "LANG", "OUTPUT", "LC_CTYPE"}, "the last is Python's own"


@pytest.mark.parametrize(
    ("python", "message"),
    [
        ("raise SystemExit(3)", "exit code 3"),
        ("print('first'); print('2 problems'); print(); raise SystemExit(1)", "exit code 1: 2 problems"),
        ("import sys; print('out'); print('err', file=sys.stderr); sys.exit(2)", "exit code 2: err"),
        (
            "print('\\033[31mred\\033[0m\\tand \\0\\u2028more'); raise SystemExit(1)",
            "exit code 1: red and more",
        ),
        ("import os; os.write(1, b'\\xff\\xfe'); raise SystemExit(1)", "exit code 1: \ufffd\ufffd"),
        ("print('x' * 5000); raise SystemExit(1)", "exit code 1: " + "x" * 286 + "…"),
        ("import os; os.kill(os.getpid(), 9)", "ended by SIGKILL"),
    ],
)
async def test_a_command_that_is_not_content_has_the_last_word(desk: Desk, python: str, message: str) -> None:
    desk.hand_in("text")
    desk.script("judge", python)
    assert await desk.says("command:judge") == [f"command:judge: {message}"]


async def test_a_command_that_does_not_end_is_ended(desk: Desk) -> None:
    desk.hand_in("text")
    desk.script("sleep", "import time; time.sleep(600)")
    assert await desk.says("command:sleep", seconds=1) == ["command:sleep: takes longer than 1 s"]


async def test_a_command_that_is_not_there_is_a_finding(desk: Desk) -> None:
    desk.hand_in("text")
    desk.commands["gone"] = ("/nowhere/at-all",)
    (finding,) = await desk.says("command:gone")
    assert finding == "command:gone: at-all is not there: no such file or directory"


async def test_a_command_that_may_be_startable_later_is_nobodys_finding(desk: Desk) -> None:
    desk.hand_in("text")
    program = desk.directory / "not-executable"
    program.write_text("#!/bin/sh\n")
    desk.commands["closed"] = (str(program),)
    with pytest.raises(ChecksError, match="not-executable cannot be started: permission denied"):
        await desk.findings("command:closed")


async def test_a_command_that_says_too_much_is_a_finding(desk: Desk) -> None:
    desk.hand_in("text")
    desk.script("shout", "while True: print('x' * 1_000_000)")
    (finding,) = await desk.findings("command:shout")
    assert "said more than" in finding.message


async def test_an_output_that_cannot_be_read_is_nobodys_finding(desk: Desk) -> None:
    desk.hand_in("text").unlink()
    with pytest.raises(ChecksError, match="the output cannot be read: No such file or directory"):
        await desk.findings("regex:text")


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], object]:
    """Puts another program in the place of the child."""
    path = tmp_path / "child.py"
    monkeypatch.setattr(run, "_CHILD", path)
    monkeypatch.setattr(run, "GRACE_SECONDS", 0.1)
    return path.write_text


async def test_a_child_that_does_not_hear_its_alarm_is_ended(
    desk: Desk, child: Callable[[str], object]
) -> None:
    child("import time\nprint('null', flush=True)\ntime.sleep(600)")
    desk.hand_in("text")
    assert await desk.says("regex:t", "json", seconds=0.5) == [
        "regex:t: takes longer than 0.5 s",
        "json: takes longer than 0.5 s",
    ]


async def test_the_check_that_ends_the_child_is_found_wanting(
    desk: Desk, child: Callable[[str], object]
) -> None:
    child("import os\nprint('null', flush=True)\nos.kill(os.getpid(), 24)")
    desk.hand_in("text")
    assert await desk.says("regex:t", "json", "schema:x") == ["json: ended by SIGXCPU"]


async def test_a_child_that_fails_says_nothing_about_the_output(
    desk: Desk, child: Callable[[str], object]
) -> None:
    desk.hand_in("text")
    child("raise ValueError('a fault of ours')")
    with pytest.raises(ChecksError, match="ValueError: a fault of ours"):
        await desk.findings("json")
    child("raise SystemExit(7)")
    with pytest.raises(ChecksError, match="exit code 7"):
        await desk.findings("json")


async def test_a_child_that_cannot_be_started_says_nothing_about_the_output(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.hand_in("text")
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(ChecksError, match="python is not there"):
        await desk.findings("json")
