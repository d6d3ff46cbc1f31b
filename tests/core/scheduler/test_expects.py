"""What a task may expect of its outputs."""

import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.expects import MAX_ARGUMENT, Check, Kind, is_file_name, parse


@pytest.mark.parametrize(
    ("entry", "check"),
    [
        ("file:report.md", Check(Kind.FILE, "report.md")),
        ("file:报告 2.md", Check(Kind.FILE, "报告 2.md")),
        ("file:a:b", Check(Kind.FILE, "a:b")),
        ("nonempty", Check(Kind.NONEMPTY)),
        ("regex:^# .+", Check(Kind.REGEX, "^# .+")),
        ("regex: two: words ", Check(Kind.REGEX, " two: words ")),
        ("json", Check(Kind.JSON)),
        ("schema:invoice.json", Check(Kind.SCHEMA, "invoice.json")),
        ("command:lint-2.0", Check(Kind.COMMAND, "lint-2.0")),
    ],
)
def test_an_entry_is_read_and_written_back(entry: str, check: Check) -> None:
    assert parse(entry) == check
    assert str(check) == entry


@pytest.mark.parametrize(
    "entry", ["", ":", "jsn", "JSON", " json", "json ", "check", "regexp:x", "../x", "\ud800"]
)
def test_an_unknown_word_is_told_all_the_known_ones(entry: str) -> None:
    with pytest.raises(
        ValueError, match="file:NAME, nonempty, regex:PATTERN, json, schema:FILE, command:NAME"
    ):
        parse(entry)


@pytest.mark.parametrize("entry", ["file", "file:", "regex", "regex:", "schema:", "command:"])
def test_an_argument_that_is_missing_is_asked_for(entry: str) -> None:
    with pytest.raises(ValueError, match=f"say {entry.rstrip(':')}:[A-Z]+"):
        parse(entry)


@pytest.mark.parametrize("entry", ["json:", "json:x", "nonempty:", "nonempty:yes"])
def test_an_argument_that_nothing_would_be_done_with_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match="takes no argument"):
        parse(entry)


@pytest.mark.parametrize("kind", ["file", "schema"])
@pytest.mark.parametrize(
    "name",
    [
        ".",
        "..",
        ".hidden",
        "../../etc/passwd",
        "/etc/passwd",
        "a/b",
        "a\\b",
        "a\0b",
        "a\nb",
        "\x1b[31m",
        "\u2028",
        "\ud800",
        " a",
        "a\u00a0",
        "n" * 201,
        "名" * 67,
    ],
)
def test_a_file_name_leads_nowhere_else(kind: str, name: str) -> None:
    with pytest.raises(ValueError, match="plain file name"):
        parse(f"{kind}:{name}")


@pytest.mark.parametrize("name", ["lint x", "-rf", "a/b", "a;b", "$(x)", "n" * 65, "a\n"])
def test_a_command_is_a_name_without_arguments(name: str) -> None:
    with pytest.raises(ValueError, match=r"under `commands` in agents\.yaml"):
        parse(f"command:{name}")


@pytest.mark.parametrize("pattern", ["(", "a**", "(?<=a+)b", "[z-a]", "(?P<n>a)(?P<n>b)", "\\", "(?L)a"])
def test_a_wrong_regular_expression_is_refused_with_its_fault(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"not a regular expression of Python's: .+"):
        parse(f"regex:{pattern}")


@pytest.mark.parametrize("pattern", ["a{99999999999999}", "(" * 495 + ")" * 495])
def test_a_regular_expression_that_python_cannot_hold_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="too large"):
        parse(f"regex:{pattern}")


def test_a_regular_expression_that_is_merely_unusual_is_taken_in_silence() -> None:
    with warnings.catch_warnings(action="error"):
        assert parse("regex:[[a]").argument == "[[a]"


def test_an_argument_has_a_limit() -> None:
    assert parse("regex:" + "a" * MAX_ARGUMENT).argument == "a" * MAX_ARGUMENT
    with pytest.raises(ValueError, match="more than 1000 characters"):
        parse("regex:" + "a" * (MAX_ARGUMENT + 1))


@given(st.text())
def test_a_file_name_is_one_part_of_a_path(name: str) -> None:
    if is_file_name(name):
        assert "/" not in name
        assert name.strip() == name
        assert 0 < len(name.encode()) <= 200


@given(st.sampled_from(list(Kind)), st.text(max_size=20))
def test_every_entry_is_taken_as_it_is_or_refused(kind: Kind, argument: str) -> None:
    entry = f"{kind}:{argument}" if argument else str(kind)
    try:
        check = parse(entry)
    except ValueError:
        return
    assert str(check) == entry
    assert parse(str(check)) == check
