"""The mechanism, on a small process of its own: precedence, sources, and every problem at once."""

from pathlib import Path
from typing import Annotated, ClassVar

import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic_settings import SettingsConfigDict

from shared.errors import StartError
from shared.settings import Expect, Origin, ProcessSettings, Setting, effective, load, masked, variables

CANARY = "canary-Key-0123456789-stays-inside"


class Inner(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    size: Annotated[int, Expect("a whole number")] = 1
    secret_key: SecretStr = SecretStr("")


class Demo(ProcessSettings):
    model_config = SettingsConfigDict(env_prefix="DEMO_")
    known_variables: ClassVar[frozenset[str]] = frozenset({"DEMO_CONFIG"})

    long_name: Annotated[int, Field(ge=1), Expect("a whole number from 1 on"), Setting("SHORT")] = 7
    word: Annotated[str, Setting("WORD")] = ""
    password: Annotated[SecretStr, Setting("PASSWORD")] = SecretStr("")
    storage: Annotated[str, Setting("AUDIT_STORAGE", prefixed=False)] = "file"
    inner: Inner = Inner()
    parts: tuple[Inner, ...] = ()


def problems(environ: dict[str, str], file: Path | None = None) -> list[str]:
    with pytest.raises(StartError) as caught:
        load(Demo, environ, file)
    assert caught.value.exit_code == 2
    assert all(line and "\n" not in line for line in caught.value.lines)
    return list(caught.value.lines)


def written(directory: Path, text: str) -> Path:
    path = directory / "demo.yaml"
    path.write_text(text)
    return path


def test_the_environment_wins_over_the_file_and_the_file_over_the_default(tmp_path: Path) -> None:
    file = written(tmp_path, "long_name: 2\nword: file\n")
    settings = load(Demo, {"DEMO_SHORT": "3"}, file)
    assert (settings.long_name, settings.word, settings.storage) == (3, "file", "file")
    assert settings.origin("long_name") == Origin("environment", "DEMO_SHORT")
    assert settings.origin("word") == Origin("file", "word")
    assert settings.origin("storage").source == "default"
    assert settings.config_file == file


def test_a_default_that_was_set_is_explicit() -> None:
    assert load(Demo, {"DEMO_SHORT": "7"}).is_explicit("long_name")
    assert not load(Demo, {"DEMO_WORD": "x"}).is_explicit("long_name")
    assert Demo(long_name=7).is_explicit("long_name")
    assert not Demo().is_explicit("long_name")


def test_only_the_mapping_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DEMO_SHORT", "DEMO_LONG_NAME", "LONG_NAME", "SHORT"):
        monkeypatch.setenv(name, "5")
    assert load(Demo, {}).long_name == 7
    assert Demo().long_name == 7


def test_variables_carry_the_prefix_unless_they_are_whole() -> None:
    assert variables(Demo) == {
        "long_name": "DEMO_SHORT",
        "word": "DEMO_WORD",
        "password": "DEMO_PASSWORD",
        "storage": "AUDIT_STORAGE",
    }
    assert load(Demo, {"AUDIT_STORAGE": "memory", "AUDIT_OTHER": "not ours"}).storage == "memory"


def test_every_problem_is_told_at_once_and_names_its_place(tmp_path: Path) -> None:
    file = written(tmp_path, "inner:\n  size: big\nwrod: x\nparts:\n  - {}\n  - {size: [1]}\n")
    lines = problems({"DEMO_SHORT": "0", "DEMO_SHROT": "1"}, file)
    assert lines == [
        f"wrod ({file} line 3) (set to 'x') is unknown: did you mean word?",
        "DEMO_SHROT (set to '1') is unknown: did you mean DEMO_SHORT?",
        "DEMO_SHORT is '0', expected a whole number from 1 on",
        f"inner.size ({file} line 2) is 'big', expected a whole number",
        f"parts[1].size ({file} line 6) is a list, expected a whole number",
    ]


def test_the_key_in_upper_case_is_a_near_miss_of_its_variable(tmp_path: Path) -> None:
    assert problems({"DEMO_LONG_NAME": "1"}) == [
        "DEMO_LONG_NAME (set to '1') is unknown: did you mean DEMO_SHORT?"
    ]
    (line,) = problems({}, written(tmp_path, "short: 1"))
    assert line.endswith("did you mean long_name?")


def test_an_unknown_key_deep_inside_is_a_problem(tmp_path: Path) -> None:
    (line,) = problems({}, written(tmp_path, "inner:\n  sizes: 3\n"))
    assert line.startswith("inner.sizes (")
    assert line.endswith("line 2) (set to 3) is unknown: did you mean size?")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "line 1, column 5 is not valid YAML"),
        ("word: a\nword: b", "word ({file} line 2) is there twice"),
        ("inner:\n  size: 1\n  size: 2", "inner.size ({file} line 3) is there twice"),
        ("- a", "holds a list, expected a mapping"),
        ("word: 2024-13-45", "is not valid YAML"),
        ("[" * 800, "is not valid YAML"),
        ("word: \x00", "line 1 is not UTF-8 text"),
        ("? [a]\n: 1", "line 1, column 3 is not valid YAML"),
        ("1: 2", "1 ({file} line 1) (set to 2) is unknown"),
        ("word: !!python/object:os.system x", "is not valid YAML"),
        ("a: 1\n---\nb: 2", "is not valid YAML"),
        ("self: 1", "self ({file} line 1) (set to 1) is unknown"),
        ("long_name:", "long_name ({file} line 1) is empty, expected a whole number from 1 on"),
    ],
)
def test_a_broken_file_is_a_problem_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    file = written(tmp_path, text)
    (line,) = problems({}, file)
    assert said.format(file=file) in line


def test_a_file_that_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    assert problems({}, tmp_path / "none.yaml") == [
        f"--config: settings file {tmp_path / 'none.yaml'} cannot be read: No such file or directory"
    ]
    assert "Is a directory" in problems({}, tmp_path)[0]
    file = tmp_path / "latin.yaml"
    file.write_bytes(b"word: a\ninner: \xe9\n")
    assert problems({}, file) == [
        f"--config: settings file {file} line 2 is not UTF-8 text: invalid continuation byte"
    ]


def test_what_is_empty_anyway_may_be_left_blank(tmp_path: Path) -> None:
    settings = load(Demo, {}, written(tmp_path, "\ufeffinner:\nparts:\nword:\npassword:\n"))
    assert settings.model_dump() == Demo().model_dump()
    assert load(Demo, {}, written(tmp_path, "# nothing\n")).model_dump() == Demo().model_dump()


def test_anchors_that_contain_themselves_end(tmp_path: Path) -> None:
    assert problems({}, written(tmp_path, "inner: &a\n  size: *a\n"))
    assert problems({}, written(tmp_path, "parts: &a\n  - *a\n"))


@pytest.mark.parametrize(
    "environ",
    [
        {"DEMO_SHORT": CANARY},
        {"DEMO_PASSWORD": CANARY, "DEMO_SHORT": f"x{CANARY}y"},
        {"DEMO_PASSWORD": CANARY, "DEMO_SHORT": "x" * 60 + CANARY},
        {"DEMO_SHORT": f"https://user:{CANARY}@host/?key={CANARY}"},
        {"DEMO_PASSWROD": CANARY},
        {"DEMO_QQQQQQ": CANARY},
        {f"DEMO_{CANARY}": "1"},
    ],
)
def test_a_secret_shows_in_no_problem_of_a_variable(environ: dict[str, str]) -> None:
    assert CANARY[4:] not in "\n".join(problems(environ))


@pytest.mark.parametrize(
    "text",
    [
        f"password: [{CANARY}]\n",
        f"password: {CANARY}\nlong_name: {CANARY}\n",
        f"word: *{CANARY}\n",
        f"word: !!{CANARY} x\n",
        f"word: '{CANARY}\n",
        f'word: "\\q{CANARY}"\n',
        f"{CANARY}\n",
        f"{CANARY}: 1\n",
        f"passwrd: {CANARY}\n",
        f"inner: {CANARY}\n",
        f"inner: {{secret_key: [{CANARY}]}}\n",
        f"inner: {{secret: {CANARY}, size: {CANARY}}}\n",
        f"parts: {CANARY}\n",
        f"parts: [{CANARY}]\n",
    ],
)
def test_a_secret_shows_in_no_problem_of_the_file(tmp_path: Path, text: str) -> None:
    assert CANARY[4:] not in "\n".join(problems({}, written(tmp_path, text)))


def test_control_characters_cannot_forge_a_line() -> None:
    (line,) = problems({"DEMO_SHORT": "1\n\x1b[31mready"})
    assert "\x1b" not in line
    for line in problems({"DEMO_A\nB": "1", "DEMO_\udcff": "\udcff"}):
        assert line.isprintable()


def test_at_most_four_characters_of_a_long_secret_are_shown() -> None:
    assert [masked(s) for s in ("", "short", "x" * 12, "nvapi-0123456")] == ["", "****", "****", "nvap****"]


def test_the_report_masks_and_names_the_source(tmp_path: Path) -> None:
    file = written(tmp_path, f"inner: {{secret_key: {CANARY}}}\n")
    rows = {row.key: row for row in effective(load(Demo, {"DEMO_PASSWORD": CANARY}, file))}
    assert list(rows) == list(Demo.model_fields)
    assert (rows["password"].value, rows["password"].source) == ("cana****", "environment")
    assert (rows["inner"].value, rows["inner"].source) == ({"size": 1, "secret_key": "cana****"}, "file")
    assert (rows["word"].value, rows["word"].source, rows["word"].variable) == ("", "default", "DEMO_WORD")
