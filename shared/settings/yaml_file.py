"""What a YAML file of settings says: a value for each key, and the line on which it stands."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from shared.settings.declare import Where, setting_of
from shared.settings.mask import readable, show
from shared.settings.wording import unknown, written


@dataclass(slots=True)
class Document:
    """``broken``: it could not be read at all, so nobody knows what is set."""

    path: Path | None = None
    values: dict[str, object] = field(default_factory=dict)
    lines: dict[Where, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    broken: bool = False

    def name(self, where: Where) -> str:
        """The key with its line, or with the line of the nearest thing around it that has one."""
        for length in range(len(where), 0, -1):
            if line := self.lines.get(where[:length]):
                return f"{written(where)} ({readable(self.path)} line {line})"
        return written(where)


class _BadFileError(Exception):
    """The file yields no mapping; the text follows its path in the problem line."""


def read_file(kind: type[BaseModel], path: Path, named: str, what: str = "settings file") -> Document:
    """Never raises: what is wrong with the file is among its problems, under the name that led to it."""
    document = Document(path)
    try:
        data = _parse(document, path)
    except _BadFileError as error:
        document.problems.append(f"{named}: {what} {readable(path)} {error}")
        document.broken = True
        return document
    fields = kind.model_fields
    # People also write the variable where the key is asked for: ``port`` for ``listen_port``.
    candidates = {
        setting.variable.lower(): key for key, info in fields.items() if (setting := setting_of(info))
    }
    candidates |= {key: key for key in fields}
    for key, value in data.items():
        if key not in fields:
            document.problems.append(unknown(document.name((str(key),)), str(key), value, candidates))
        elif value is not None or not _may_be_blank(fields[str(key)]):
            document.values[str(key)] = value
    return document


def _may_be_blank(info: FieldInfo) -> bool:
    """``clients:`` with its children commented out is no setting; ``listen_port:`` alone is a slip."""
    return setting_of(info) is None or not info.default


def _parse(document: Document, path: Path) -> dict[object, object]:
    raw = b""
    try:
        raw = path.read_bytes()
        loader = yaml.SafeLoader(raw)
        root = loader.get_single_node()
        data = loader.construct_document(root) if root is not None else None
        _survey(document, root)
    except OSError as error:
        raise _BadFileError(f"cannot be read: {error.strerror}") from None
    except yaml.reader.ReaderError as error:
        line = raw.count(b"\n", 0, error.position) + 1
        raise _BadFileError(f"line {line} is not UTF-8 text: {error.reason}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1} " if mark else ""
        # The library's words may quote the file, which may hold a key; single characters are kept.
        words = re.sub(r"'[^']{2,}'|\"[^\"]{2,}\"", "…", error.problem or "syntax error")
        raise _BadFileError(f"{place}is not valid YAML: {words}") from None
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        # What the library lets through: an impossible date, a tag on the wrong thing, a thousand brackets
        raise _BadFileError("is not valid YAML: a value in it cannot be read") from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise _BadFileError(f"holds {show(data, secret=True)}, expected a mapping")
    return data


def _survey(document: Document, node: yaml.Node | None, where: Where = ()) -> None:
    """Notes the line of every key and item, and the keys that are there twice, of which YAML says nothing."""
    for part, line, child in _children(node):
        place = (*where, part)
        if place in document.lines:
            name = f"{written(place)} ({readable(document.path)} line {line})"
            document.problems.append(f"{name} is there twice, expected each key once")
        else:
            document.lines[place] = line
            _survey(document, child, place)


def _children(node: yaml.Node | None) -> Iterator[tuple[str | int, int, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield str(key.value), key.start_mark.line + 1, value
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield index, item.start_mark.line + 1, item
