"""How a process gets its settings: environment > YAML file > default, and every problem at once.

The rule: nothing here knows a particular setting, and nothing here reads ``os.environ``. A process declares
its fields once, each with a ``Setting`` that names its variable; ``load`` takes the environment as an
argument and returns one frozen object that knows where each value came from, or raises ``StartError`` with
one line per problem. No line shows a secret.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from shared.errors import StartError
from shared.settings.declare import (
    Conflict,
    Expect,
    Origin,
    ProcessSettings,
    Setting,
    Shown,
    Surroundings,
    Where,
    variables,
)
from shared.settings.environment import read_environment
from shared.settings.explain import explain, explain_conflict
from shared.settings.mask import masked, show
from shared.settings.report import Effective, effective
from shared.settings.wording import wrong
from shared.settings.yaml_file import Document, read_file

__all__ = [
    "Conflict",
    "Effective",
    "Expect",
    "Origin",
    "ProcessSettings",
    "Setting",
    "Shown",
    "Surroundings",
    "Where",
    "effective",
    "load",
    "masked",
    "show",
    "variables",
    "wrong",
]

S = TypeVar("S", bound=ProcessSettings)


def load(
    kind: type[S], environ: Mapping[str, str], file: Path | None = None, *, named: str = "--config"
) -> S:
    """The effective settings, or ``StartError`` (exit code 2) with every problem there is.

    ``named`` is what the operator said to name the file: an option or a variable.
    """
    around = kind.surroundings(environ)
    environment = read_environment(kind, environ, around)
    document = read_file(kind, file, named) if file is not None else Document()
    given = around.defaults | document.values | environment.values
    problems = [*document.problems, *environment.problems, *around.problems.values()]
    bad = set(around.problems)

    def name(where: Where) -> str:
        return environment.names.get(str(where[0])) or document.name(where)

    try:
        settings = _build(kind, given, without=bad)
    except ValidationError as error:
        faults = error.errors(include_url=False)
        problems += [explain(kind, fault, name) for fault in faults]
        bad |= {str(fault["loc"][0]) for fault in faults}
        # Once more without the wrong ones: rules between the others are problems too, and all are told.
        settings = _build(kind, given, without=bad)

    origins = {key: Origin("file", key) for key in document.values}
    origins |= {key: Origin("environment", variable) for key, variable in environment.names.items()}
    settings.settle(origins, file)
    if not document.broken:
        problems += [
            explain_conflict(conflict, settings, name)
            for conflict in settings.conflicts()
            if bad.isdisjoint({str(conflict.where[0]), *conflict.others})
        ]
    if problems:
        raise StartError(*problems, exit_code=2)
    return settings


def _build(kind: type[S], given: Mapping[str, object], *, without: set[str]) -> S:
    return kind(**{key: value for key, value in given.items() if key not in without})
