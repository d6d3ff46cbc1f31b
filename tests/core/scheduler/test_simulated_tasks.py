"""The list of tasks of a simulated day: read with every problem there is, or made up by a seed."""

import json
from pathlib import Path
from random import Random

import pytest

from scheduler.core.task import Priority
from scheduler.simulate.tasks import Arrival, made_up, read_tasks
from shared.errors import StartError

GOOD = [
    {"title": "Second", "agent": "coo", "at": "90m", "priority": "urgent", "requests": 5},
    {"title": " First ", "agent": "prompt-engineer"},
    {"title": "Third", "agent": "coo", "at": 7200.5},
]


def test_a_list_is_read_in_the_order_of_its_coming_as_json_and_as_yaml(tmp_path: Path) -> None:
    (tmp_path / "tasks.json").write_text(json.dumps(GOOD), encoding="utf-8")
    yaml = "- {title: Second, agent: coo, at: 90m, priority: urgent, requests: 5}\n"
    yaml += "- {title: First, agent: prompt-engineer}\n- {title: Third, agent: coo, at: 7200.5}\n"
    (tmp_path / "tasks.yaml").write_text(yaml, encoding="utf-8")
    expected = (
        Arrival(0.0, "First", "prompt-engineer", Priority.NORMAL),
        Arrival(5_400.0, "Second", "coo", Priority.URGENT, 5),
        Arrival(7_200.5, "Third", "coo", Priority.NORMAL),
    )
    assert read_tasks(tmp_path / "tasks.json") == expected
    assert read_tasks(tmp_path / "tasks.yaml") == expected


@pytest.mark.parametrize(
    ("item", "problem"),
    [
        ({"agent": "coo"}, "title is missing"),
        ({"title": "", "agent": "coo"}, "title is ''"),
        ({"title": 5, "agent": "coo"}, "title is 5"),
        ({"title": "t"}, "agent is missing"),
        ({"title": "t", "agent": "The Boss"}, "agent is 'The Boss'"),
        ({"title": "t", "agent": "coo", "priority": "now"}, "priority is 'now'"),
        ({"title": "t", "agent": "coo", "priority": ["urgent"]}, "priority is ['urgent']"),
        ({"title": "t", "agent": "coo", "at": "soon"}, "at is 'soon'"),
        ({"title": "t", "agent": "coo", "at": -1}, "at is -1"),
        ({"title": "t", "agent": "coo", "at": True}, "at is True"),
        ({"title": "t", "agent": "coo", "at": None}, "at is missing"),
        ({"title": "t", "agent": "coo", "requests": 0}, "requests is 0"),
        ({"title": "t", "agent": "coo", "requests": 1.5}, "requests is 1.5"),
        ({"title": "t", "agent": "coo", "titel": "t"}, "'titel' is unknown"),
        ("a task", "no mapping"),
    ],
)
def test_what_is_wrong_is_told_with_its_place_in_one_line(tmp_path: Path, item: object, problem: str) -> None:
    file = tmp_path / "tasks.json"
    file.write_text(json.dumps([GOOD[0], item]), encoding="utf-8")
    with pytest.raises(StartError) as told:
        read_tasks(file)
    (line,) = told.value.lines
    assert line.startswith("tasks.json, task 2")
    assert problem in line
    assert told.value.exit_code == 2


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    file = tmp_path / "tasks.json"
    file.write_text('[{"title": "t"}, {"agent": "coo"}, 3]', encoding="utf-8")
    with pytest.raises(StartError) as told:
        read_tasks(file)
    assert len(told.value.lines) == 3


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"tasks: []", b"- {title: [", b"\xff\xfe\xfd", b"just words", b"- &a [*a, *a", b"[" * 5_000],
)
def test_what_is_no_list_of_tasks_is_told_in_one_line(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "tasks.yaml"
    file.write_bytes(content)
    with pytest.raises(StartError) as told:
        read_tasks(file)
    (line,) = told.value.lines
    assert line.startswith("--tasks: ")


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="cannot be read"):
        read_tasks(tmp_path / "none.yaml")


def test_the_same_seed_makes_up_the_same_day() -> None:
    agents = ["coo", "qa"]
    first, again, other = (made_up(agents, 24, Random(seed)) for seed in (1, 1, 2))
    assert first == again != other
    assert len(first) == 24
    assert [each.at for each in first] == sorted(each.at for each in first)
    assert max(each.at for each in first) < 24 * 3600 * 0.9
