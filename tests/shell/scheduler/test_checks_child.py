"""What the child of the checks finds in an output. How it is started and ended: tests/integration."""

import json
from pathlib import Path

import pytest

from scheduler.checks import child
from scheduler.checks.child import MEMORY_BYTES, MOST_COMPLAINTS, Content, fault


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    tmp_path.joinpath("schemas").mkdir()
    return tmp_path


def look(directory: Path, kind: str, argument: str, output: str, schema: object = None) -> str | None:
    path = directory / "output"
    path.write_text(output, encoding="utf-8")
    schemas = directory / "schemas"
    schemas.joinpath("s.json").write_text(json.dumps(schema), encoding="utf-8")
    return fault(Content(path), kind, argument, schemas)


def test_a_regular_expression_is_searched_for_in_the_text(directory: Path) -> None:
    assert look(directory, "regex", "^b", "a\nb") == "nothing in the output matches"
    assert look(directory, "regex", "(?m)^b", "a\nb") is None


def test_bytes_that_are_no_text_are_marked_not_refused(directory: Path) -> None:
    path = directory / "output"
    path.write_bytes(b"caf\xe9")
    assert fault(Content(path), "regex", "caf\ufffd", directory) is None
    assert fault(Content(path), "json", "", directory) == "the output is no JSON: no UTF-8 at byte 3"


def test_json_is_read_once(directory: Path) -> None:
    path = directory / "output"
    path.write_text("1")
    content = Content(path)
    assert fault(content, "json", "", directory) is None
    path.write_text("no JSON")
    assert fault(content, "json", "", directory) is None


@pytest.mark.parametrize("output", ["NaN", "1" * 5000])
def test_numbers_that_are_none_are_refused(directory: Path, output: str) -> None:
    message = look(directory, "json", "", output)
    assert message is not None
    assert message.startswith("the output is no JSON that can be read here: ")


def test_a_value_that_fits_has_no_fault(directory: Path) -> None:
    assert look(directory, "schema", "s.json", "1", {"type": "integer"}) is None
    assert look(directory, "schema", "s.json", "1", schema=True) is None
    assert look(directory, "schema", "s.json", "1", schema=False) == "$: False schema does not allow 1"


def test_a_schema_of_an_older_draft_is_read_as_such(directory: Path) -> None:
    """A tuple in `items` is none in the newest draft."""
    older = {"$schema": "http://json-schema.org/draft-07/schema#", "items": [{"type": "string"}]}
    assert look(directory, "schema", "s.json", "[1]", older) == "$[0]: 1 is not of type 'string'"


def test_of_very_many_complaints_only_the_first_are_looked_at(directory: Path) -> None:
    output = json.dumps([1] * (MOST_COMPLAINTS + 1))
    message = look(directory, "schema", "s.json", output, {"items": {"type": "string"}})
    assert message is not None
    assert message.endswith("1 is not of type 'string'")
    assert f"[{MOST_COMPLAINTS}]" not in message


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        (3, "it is neither an object nor true or false"),
        ({"type": "objct"}, "at $.type"),
        ({"$ref": "http://127.0.0.1:1/x"}, "it refers to http://127.0.0.1:1/x, which is not in it"),
        ({"$schema": 3}, "has no attribute"),
    ],
)
def test_a_schema_that_is_none_is_told_from_an_output_that_does_not_fit(
    directory: Path, schema: object, reason: str
) -> None:
    message = look(directory, "schema", "s.json", "{}", schema)
    assert message is not None
    assert message.startswith("the schema s.json is of no use: ")
    assert reason in message


@pytest.mark.parametrize("name", ["../output", "none.json", "loop"])
def test_a_schema_lies_in_its_directory(directory: Path, name: str) -> None:
    directory.joinpath("schemas", "loop").symlink_to("loop")
    assert look(directory, "schema", name, "{}") == f"the schema {name} is of no use: there is none"


def test_nesting_has_an_end(directory: Path) -> None:
    assert look(directory, "json", "", "[" * 100_000) == "nested too deeply"
    assert look(directory, "schema", "s.json", "{}", {"$ref": "#"}) == "nested too deeply"


def test_too_little_memory_is_told(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forget(_content: Content) -> None:
        raise MemoryError

    monkeypatch.setattr(child, "json_fault", forget)
    assert look(directory, "json", "", "1") == f"takes more than {MEMORY_BYTES // 1024**2} MB of memory"


def test_checks_of_other_kinds_are_a_fault_of_ours(directory: Path) -> None:
    with pytest.raises(ValueError, match="nonempty does not look into an output"):
        look(directory, "nonempty", "", "1")


def test_an_output_that_is_not_there_is_not_hidden(directory: Path) -> None:
    with pytest.raises(FileNotFoundError):
        fault(Content(directory / "gone"), "json", "", directory)
