"""What to change in OpenClaw so that it works with the sidecar and the board: a plan, made of what is there.

The rule: what is right already is not touched, so that a second plan is empty; what the user wrote and does
not stand in the way stays. A key is never read, moved or shown.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from scheduler.core.openclaw.jobs import Automation, to_disable
from scheduler.core.openclaw.models import (
    OURS,
    PRIORITIES,
    fitting,
    has_secrets,
    is_row,
    model_ids,
    other_row,
    own_row,
    rows_of,
)
from scheduler.core.openclaw.tree import ABSENT, Change, Json, Path, change, holds, is_variable, value_at

TIMEOUT_SECONDS: Final = 900
"""Longer than a request may wait in the sidecar: OpenClaw must not send it twice."""
HELD: Final = "held-by-the-sidecar"
MCP_SERVER: Final = "clawpace"
_MCP_IDLE: Final = ("mcp", "sessionIdleTtlMs")
MCP_IDLE_MS: Final = 600_000
_NVIDIA_HOST: Final = "integrate.api.nvidia.com"
_PROVIDERS: Final = ("models", "providers")
_NEVER: Final = frozenset({"0m", "0s", "0h", "0"})

_WHY_ADDRESS = "its requests go through the sidecar, which keeps NVIDIA's limit"
_WHY_PATIENCE = "OpenClaw waits as long as a request may wait in the sidecar, and does not send it twice"
_WHY_MODELS = "NVIDIA needs plain text, which OpenClaw forgets for a local address; sessions can take turns"
_WHY_SETTINGS = "the model has the same settings at every priority"
_WHY_ALLOWED = "the agents may use the same models at every priority"
_WHY_NAME = "the sidecar counts this agent's requests under its name, and lets agents take turns"
_WHY_HEARTBEAT = "OpenClaw's heartbeat spends the budget on asking idle agents; the scheduler has its own"
_WHY_BOARD = "the agents get the board's tools"
_WHY_MCP_IDLE = "each run is a session, and OpenClaw keeps the tools of 256 sessions at most"


@dataclass(frozen=True, slots=True)
class Known:
    """An agent, as OpenClaw lists it."""

    id: str
    model: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """What OpenClaw is pointed at, and what the operator said."""

    base_url: str
    mcp_url: str
    key: str = HELD
    """For providers that have none: never a key, but a word or the name of a variable."""
    models: tuple[str, ...] = ()
    keep: frozenset[str] = frozenset()
    """Automations that stay as they are, by id or name."""


@dataclass(frozen=True, slots=True)
class Plan:
    """`changes` and `automations` are what is done; the rest is said."""

    changes: tuple[Change, ...]
    automations: tuple[Automation, ...]
    newcomers: tuple[str, ...]
    """Agents that OpenClaw has and the roster lacks."""
    notes: tuple[str, ...]

    @property
    def is_empty(self) -> bool:
        """Whether OpenClaw is as it should be."""
        return not (self.changes or self.automations)


class NoModelsError(Exception):
    """OpenClaw neither has a model of NVIDIA's nor uses one. The operator names one."""


def plan(
    config: Json,
    agents: Sequence[Known],
    roster: Collection[str],
    wanted: Wanted,
    *,
    jobs: Sequence[Mapping[str, Json]] = (),
    offered: Mapping[str, Json] | None = None,
) -> Plan:
    """`jobs` are OpenClaw's automations, `offered` what it tells of the models of `nvidia`. NoModelsError."""
    maker = _Maker(config, wanted)
    maker.providers(model_ids(config, [agent.model for agent in agents], wanted.models), offered or {})
    maker.same_models_at_every_priority([agent.id for agent in agents])
    maker.names(agents)
    maker.heartbeats()
    maker.board()
    verdicts = [to_disable(job, wanted.keep) for job in jobs]
    maker.notes += [f"automation {each}; it stays" for each in verdicts if isinstance(each, str)]
    ids = [agent.id for agent in agents]
    absent = [agent for agent in roster if agent not in ids]
    if absent:
        maker.notes.append(f"in the roster, but not in OpenClaw: {', '.join(absent)}")
    return Plan(
        tuple(maker.changes),
        tuple(each for each in verdicts if isinstance(each, Automation)),
        tuple(agent for agent in ids if agent not in roster),
        tuple(maker.notes),
    )


def key_form(authored: Json, variable: str | None) -> str:
    """What a provider without a key is given: the variable that was named, or that `nvidia` names."""
    if variable is not None:
        return f"${{{variable}}}"
    own = value_at(authored, (*_PROVIDERS, "nvidia", "apiKey"))
    return own if isinstance(own, str) and is_variable(own) else HELD


class _Maker:
    """Owner of the changes and notes of one plan while it is made."""

    def __init__(self, config: Json, wanted: Wanted) -> None:
        self._config, self._wanted = config, wanted
        self.changes: list[Change] = []
        self.notes: list[str] = []

    def providers(self, models: Sequence[str], offered: Mapping[str, Json]) -> None:
        """The four, and whatever else goes to NVIDIA directly."""
        if not models:
            raise NoModelsError
        own = rows_of(self._config, "nvidia")
        self._provider("nvidia", [own_row(model, offered) for model in models], {})
        for name, priority in PRIORITIES.items():
            rows = [other_row(model, own, offered) for model in models]
            self._provider(name, rows, {"X-Priority": priority})
        for name, settings in self._object(*_PROVIDERS).items():
            address = settings.get("baseUrl") if isinstance(settings, dict) else None
            if name not in OURS and isinstance(address, str) and _NVIDIA_HOST in address:
                self._provider(name, [], {})
                self.notes.append(
                    f"{name}: its requests have no priority by their task; those of nvidia/… do"
                )
        if any(_says(each.after, HELD) for each in self.changes):
            self.notes.append(
                f"`{HELD}` stands for a key: right where the sidecar has one of its own "
                "(SIDECAR_API_KEY). If OpenClaw is to send its own, say --key-variable NVIDIA_API_KEY"
            )

    def _provider(self, name: str, rows: Sequence[Json], headers: Mapping[str, str]) -> None:
        place: Path = (*_PROVIDERS, name)
        fields: dict[str, Json] = {
            "baseUrl": self._wanted.base_url,
            "apiKey": self._wanted.key,
            "api": "openai-completions",
            "timeoutSeconds": TIMEOUT_SECONDS,
        }
        given = f", at priority {headers['X-Priority']}" if headers else ""
        there = self._object(*place)
        if not there:
            made = {**fields, **({"headers": dict(headers)} if headers else {}), "models": list(rows)}
            self._want(place, made, _WHY_ADDRESS + given)
            return
        self._want((*place, "baseUrl"), fields["baseUrl"], _WHY_ADDRESS)
        if "apiKey" not in there:
            self._want((*place, "apiKey"), fields["apiKey"], "a provider needs a key, be it a word")
        self._want((*place, "api"), fields["api"], "it is what NVIDIA speaks")
        patience = there.get("timeoutSeconds")
        if not isinstance(patience, int | float) or patience < TIMEOUT_SECONDS:
            self._want((*place, "timeoutSeconds"), TIMEOUT_SECONDS, _WHY_PATIENCE)
        for header, value in headers.items():
            self._want((*place, "headers", header), value, f"its requests go first or last{given}")
        self._models(place, there.get("models"), rows)

    def _models(self, place: Path, there: Json, rows: Sequence[Json]) -> None:
        written = there if isinstance(there, list) else []
        if has_secrets(written):
            self.notes.append(f"{place[-1]}: a model has a secret of its own, so its models stay as they are")
            return
        ids = {row["id"] for row in written if is_row(row)}
        fit = [fitting(row) if is_row(row) else row for row in written]
        added = [row for row in rows if row["id"] not in ids]
        self._want((*place, "models"), [*fit, *added], _WHY_MODELS)

    def same_models_at_every_priority(self, agents: Sequence[str]) -> None:
        """Where the settings of a model, or a list of those allowed, say `nvidia/…`."""
        for reference, settings in self._object("agents", "defaults", "models").items():
            own, _, model = reference.partition("/")
            if own == "nvidia" and isinstance(settings, dict):
                same = {name: value for name, value in settings.items() if name != "alias"}
                for other in PRIORITIES:
                    path: Path = ("agents", "defaults", "models", f"{other}/{model}")
                    if value_at(self._config, path) is ABSENT:
                        self._want(path, same, _WHY_SETTINGS)
        places: list[Path] = [("agents", "defaults"), *(("agents", "entries", agent) for agent in agents)]
        for place in places:
            path = (*place, "modelPolicy", "allow")
            allowed = value_at(self._config, path)
            if isinstance(allowed, list) and allowed:
                tails = [text[len("nvidia/") :] for text in allowed if str(text).startswith("nvidia/")]
                more = [f"{other}/{tail}" for other in PRIORITIES for tail in tails]
                self._want(path, [*allowed, *(each for each in more if each not in allowed)], _WHY_ALLOWED)

    def names(self, agents: Sequence[Known]) -> None:
        """Of the agents whose model is NVIDIA's: other providers may refuse the field."""
        redirected = self._redirected()
        for agent in agents:
            body = ("agents", "entries", agent.id, "params", "extra_body", "metadata")
            found = value_at(self._config, (*body, "agent"))
            around = [value_at(self._config, body[:length]) for length in range(3, len(body) + 1)]
            if agent.model.partition("/")[0] not in redirected:
                self.notes.append(
                    f"{agent.id}: its model {agent.model or '?'} does not go through the sidecar"
                )
            elif any(each is not ABSENT and not isinstance(each, dict) for each in around):
                self.notes.append(f"{agent.id}: its params are none that can be added to")
            elif found is ABSENT:
                self._want((*body, "agent"), agent.id, _WHY_NAME)
            elif found != agent.id:
                self.notes.append(f"{agent.id}: it calls itself {found} to the sidecar, and goes on to")

    def _redirected(self) -> set[str]:
        """Providers whose requests go through the sidecar, already or by this plan."""
        there = {
            name
            for name in self._object(*_PROVIDERS)
            if value_at(self._config, (*_PROVIDERS, name, "baseUrl")) == self._wanted.base_url
        }
        return there | {each.path[2] for each in self.changes if each.path[:2] == _PROVIDERS}

    def heartbeats(self) -> None:
        """OpenClaw's own: the team's, and those that agents have instead."""
        own: list[Path] = [("agents", "entries", name) for name in self._object("agents", "entries")]
        for place in [("agents", "defaults"), *own]:
            path = (*place, "heartbeat", "every")
            every = value_at(self._config, path)
            if every not in _NEVER and (every is not ABSENT or len(place) == 2):
                self._want(path, "0m", _WHY_HEARTBEAT)

    def board(self) -> None:
        """The board's MCP server, under whatever name."""
        server = {"url": self._wanted.mcp_url, "transport": "streamable-http"}
        if not any(holds(each, server) for each in self._object("mcp", "servers").values()):
            self._want(("mcp", "servers", MCP_SERVER), server, _WHY_BOARD)
            if value_at(self._config, _MCP_IDLE) is ABSENT:
                self._want(_MCP_IDLE, MCP_IDLE_MS, _WHY_MCP_IDLE)

    def _want(self, path: Path, after: Json, why: str) -> None:
        if (made := change(self._config, path, after, why)) is not None:
            self.changes.append(made)

    def _object(self, *path: str) -> Mapping[str, Json]:
        found = value_at(self._config, path)
        return found if isinstance(found, dict) else {}


def _says(value: Json, word: str) -> bool:
    return value == word or (isinstance(value, dict) and value.get("apiKey") == word)
