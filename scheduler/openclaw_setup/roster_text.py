"""Adds agents to the text of a roster, which otherwise stays as it was written."""

import json
from collections.abc import Sequence

import yaml


class CannotAddError(Exception):
    """The file is not written in a way that lines can be added to; the operator adds them."""


def with_agents(text: str, ids: Sequence[str]) -> str:
    """`text` with a line for each of these at the end of `agents:`. Raises CannotAddError."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise CannotAddError from error
    if root is not None and not (isinstance(root, yaml.MappingNode) and not root.flow_style):
        raise CannotAddError
    pairs = {} if root is None else {key.value: (key, value) for key, value in root.value}
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    if "agents" not in pairs:
        return "".join([*lines, "agents:\n", *_entries(ids, "  ")])
    key, agents = pairs["agents"]
    if isinstance(agents, yaml.ScalarNode) and not agents.value:
        at, indent = key.start_mark.line + 1, "  "
    elif isinstance(agents, yaml.MappingNode) and not agents.flow_style:
        first, last = agents.value[0][0], agents.value[-1]
        indent = " " * first.start_mark.column
        at = _line_after(last[0], last[1])
    else:
        raise CannotAddError
    return "".join([*lines[:at], *_entries(ids, indent), *lines[at:]])


def _line_after(key: yaml.Node, value: yaml.Node) -> int:
    """The line below an entry. A block ends where the next thing begins, so its own last one is asked."""
    while isinstance(value, yaml.CollectionNode) and not value.flow_style and value.value:
        last = value.value[-1]
        key, value = last if isinstance(last, tuple) else (last, last)
    end = value.end_mark if value.end_mark.line > key.end_mark.line else key.end_mark
    block = isinstance(value, yaml.ScalarNode) and value.style in {"|", ">"}
    return int(end.line) if block else int(end.line) + 1


def _entries(ids: Sequence[str], indent: str) -> list[str]:
    return [f"{indent}{_written(each)}: {{}}\n" for each in ids]


def _written(agent: str) -> str:
    """In quotes where YAML would read something else than a word: `no`, `123`."""
    return agent if yaml.safe_load(agent) == agent else json.dumps(agent)
