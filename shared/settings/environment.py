"""What the environment says: a value for each variable of ours, a problem for each unknown one."""

from collections.abc import Mapping
from dataclasses import dataclass

from shared.settings.declare import ProcessSettings, Surroundings, variables
from shared.settings.mask import readable
from shared.settings.wording import unknown


@dataclass(frozen=True, slots=True)
class Environment:
    """``values`` and ``names`` by key: what is set, and the variable that set it."""

    values: dict[str, str]
    names: dict[str, str]
    problems: list[str]


def read_environment(
    kind: type[ProcessSettings], environ: Mapping[str, str], around: Surroundings
) -> Environment:
    """Picks from ``environ`` and adds what ``around`` found."""
    names = variables(kind)
    found = {key: (name, environ[name]) for key, name in names.items() if name in environ} | around.values
    return Environment(
        values={key: value for key, (_, value) in found.items()},
        names={key: name for key, (name, _) in found.items()},
        problems=_strangers(kind, names, environ),
    )


def _strangers(kind: type[ProcessSettings], names: dict[str, str], environ: Mapping[str, str]) -> list[str]:
    prefix = kind.model_config.get("env_prefix", "")
    known = {*names.values(), *kind.known_variables}
    # People also write the key where the variable is asked for: X_LISTEN_PORT for X_PORT.
    candidates = names | {name.removeprefix(prefix).lower(): name for name in known}
    return [
        unknown(readable(name), name.removeprefix(prefix).lower(), environ[name], candidates)
        for name in sorted(set(environ) - known)
        if prefix and name.startswith(prefix)
    ]
