"""What to change in OpenClaw: made of what is there, empty the second time, and no more than it takes."""

from copy import deepcopy
from typing import Any

import pytest

from scheduler.core.openclaw.jobs import Automation
from scheduler.core.openclaw.models import COMPAT, model_ids
from scheduler.core.openclaw.plan import (
    HELD,
    MCP_IDLE_MS,
    Known,
    NoModelsError,
    Plan,
    Wanted,
    key_form,
    plan,
)
from scheduler.core.openclaw.tree import REDACTED, change, changed, dotted, taken_back, value_at

MODEL = "deepseek-ai/deepseek-v3"
SIDECAR, BOARD = "http://127.0.0.1:9190/v1", "http://127.0.0.1:8083/mcp"
WANTED = Wanted(SIDECAR, BOARD)
TEAM = (Known("main", f"nvidia/{MODEL}"), Known("ops", f"nvidia/{MODEL}"))
FOUR = ("nvidia", "nvidia-urgent", "nvidia-high", "nvidia-low")
ROW = {"id": MODEL, "name": "DeepSeek", "contextWindow": 163840, "compat": {"mine": True}}


def config(**providers: Any) -> Any:
    """One with agents and heartbeats of its own; `nvidia` goes to NVIDIA."""
    nvidia = {
        "baseUrl": "https://integrate.api.nvidia.com/v1",
        "apiKey": REDACTED,
        "api": "openai-completions",
        "models": [ROW],
    }
    return {
        "models": {"providers": {"nvidia": nvidia, **providers}},
        "agents": {
            "defaults": {"heartbeat": {"every": "30m"}},
            "entries": {
                "main": {},
                "ops": {
                    "heartbeat": {"every": "5m"},
                    "params": {"extra_body": {"user": "o", "metadata": {"team": "a"}}},
                },
            },
        },
    }


def planned(tree: Any, *, agents: Any = TEAM, wanted: Wanted = WANTED, **more: Any) -> Plan:
    return plan(tree, agents, {agent.id for agent in agents}, wanted, **more)


def after(tree: Any, **more: Any) -> Any:
    return changed(tree, planned(tree, **more).changes)


def at(tree: Any, *path: str) -> Any:
    return value_at(tree, path)


def provider(tree: Any, name: str) -> Any:
    return at(tree, "models", "providers", name)


def job(kind: str = "agentTurn", **more: Any) -> dict[str, Any]:
    return {"id": "1", "name": "beat", "enabled": True, "payload": {"kind": kind}, "agentId": "ops", **more}


@pytest.mark.parametrize(
    "tree",
    [
        config(),
        {},
        {"models": {"mode": "merge"}, "agents": {"entries": {}}, "mcp": {"servers": {}}},
        config(**{"nvidia-urgent": {"baseUrl": "http://old/v1", "models": [ROW], "headers": {}}}),
        config(mine={"baseUrl": "https://integrate.api.nvidia.com/v1", "models": [{"id": "x/y"}]}),
        config(odd="no object", local={"baseUrl": "http://127.0.0.1:1/v1"}, silent={}),
    ],
)
def test_a_second_plan_is_empty_and_a_plan_taken_back_leaves_what_was_there(tree: Any) -> None:
    before = deepcopy(tree)
    made = planned(tree)
    assert not made.is_empty
    there = changed(tree, made.changes)
    assert planned(there).is_empty
    assert tree == before, "a plan changes nothing by itself"
    target, left = taken_back(there, made.changes)
    entries = target.get("agents", {}).get("entries", {})
    assert ({**target, "agents": 0}, left) == ({**tree, "agents": 0}, [])
    assert set(entries) >= set(tree.get("agents", {}).get("entries", {}))


def test_all_four_providers_are_at_the_sidecar_with_the_same_models_and_their_own_priority() -> None:
    there = after(config())
    for name, priority in zip(FOUR, (None, "urgent", "high", "low"), strict=True):
        found = provider(there, name)
        assert found["baseUrl"] == SIDECAR
        assert found.get("headers") == (priority and {"X-Priority": priority})
        assert (found["api"], found["timeoutSeconds"]) == ("openai-completions", 900)
        assert found["models"] == [{**ROW, "compat": {"mine": True, **COMPAT}}]
    assert provider(there, "nvidia")["apiKey"] == REDACTED


def test_a_key_is_never_written_but_a_word_or_the_name_of_a_variable() -> None:
    assert provider(after(config()), "nvidia-low")["apiKey"] == HELD
    authored = {"models": {"providers": {"nvidia": {"apiKey": "${MY_KEY}"}}}}
    assert key_form(authored, None) == "${MY_KEY}"
    assert key_form(authored, "OTHER") == "${OTHER}"
    assert key_form({"models": {"providers": {"nvidia": {"apiKey": "nvapi-plain"}}}}, None) == HELD
    assert key_form({}, None) == HELD
    keyed = planned(config(), wanted=Wanted(SIDECAR, BOARD, key="${MY_KEY}"))
    assert provider(changed(config(), keyed.changes), "nvidia-low")["apiKey"] == "${MY_KEY}"
    assert not any(HELD in note for note in keyed.notes)
    assert any(HELD in note for note in planned(config()).notes)


def test_a_provider_without_a_key_gets_the_word_and_the_note_says_what_it_means() -> None:
    tree = config()
    del tree["models"]["providers"]["nvidia"]["apiKey"]
    assert provider(after(tree), "nvidia")["apiKey"] == HELD


@pytest.mark.parametrize(("mine", "ours"), [(None, 900), (20, 900), (900, 900), (1200, 1200), ("x", 900)])
def test_whoever_waits_longer_than_it_takes_goes_on_to(mine: Any, ours: int) -> None:
    tree = config()
    tree["models"]["providers"]["nvidia"]["timeoutSeconds"] = mine
    assert provider(after(tree), "nvidia")["timeoutSeconds"] == ours


def test_models_that_agents_use_are_added_by_the_ids_that_nvidia_knows() -> None:
    tree = {
        "agents": {
            "defaults": {
                "model": {"primary": "nvidia/a/one", "fallbacks": ["nvidia-high/b/two", 7]},
                "models": {"nvidia/c/three": {"params": {}}, "openai/gpt": {}},
                "imageModel": "nvidia/d/four",
                "subagents": {"model": "nvidia/a/one"},
            }
        },
        "models": {"providers": {"nvidia": {"models": [{"id": "w/zero"}, "odd", {"name": "no id"}]}}},
    }
    ids = model_ids(tree, ["nvidia/e/five", "local/qwen", "nvidia/"], ["f/six"])
    assert ids == ["w/zero", "e/five", "a/one", "b/two", "c/three", "d/four", "f/six"]


def test_what_openclaw_knows_of_a_model_is_left_to_it_at_nvidia_and_written_down_at_the_others() -> None:
    offered = {MODEL: {"name": "V3", "contextWindow": 1000, "reasoning": True, "input": ["text", "image"]}}
    there = after({}, offered=offered)
    assert provider(there, "nvidia")["models"] == [{"id": MODEL, "name": "V3", "compat": COMPAT}]
    (row,) = provider(there, "nvidia-high")["models"]
    known = {"name": "V3", "contextWindow": 1000, "reasoning": True, "input": ["text", "image"]}
    assert row == {"id": MODEL, **known, "compat": COMPAT}


def test_a_model_that_nobody_knows_gets_a_guess() -> None:
    for name in ("nvidia", "nvidia-low"):
        (row,) = provider(after({}), name)["models"]
        assert (row["contextWindow"], row["maxTokens"], row["input"]) == (131072, 4096, ["text"])


def test_without_any_model_the_operator_has_to_name_one() -> None:
    with pytest.raises(NoModelsError):
        planned({}, agents=[Known("main", "openai/gpt")])
    named = planned({}, agents=[], wanted=Wanted(SIDECAR, BOARD, models=(MODEL,)))
    assert [dotted(each.path) for each in named.changes][:1] == ["models.providers.nvidia"]


def test_a_row_with_a_secret_that_openclaw_hides_is_not_written_again() -> None:
    tree = config()
    secret = {"id": MODEL, "name": "M", "headers": {"Authorization": REDACTED}, "tags": [REDACTED]}
    tree["models"]["providers"]["nvidia"]["models"] = [secret]
    made = planned(tree)
    there = changed(tree, made.changes)
    assert provider(there, "nvidia")["models"] == [secret]
    assert any("a secret of its own" in note for note in made.notes)
    assert provider(there, "nvidia-low")["models"] == [{"id": MODEL, "name": "M", "compat": COMPAT}]


def test_another_provider_that_goes_to_nvidia_is_sent_through_the_sidecar_too() -> None:
    tree = config(mine={"baseUrl": "https://integrate.api.nvidia.com/v1", "apiKey": REDACTED, "models": []})
    agents = [Known("main", "mine/x")]
    there = after(tree, agents=agents)
    assert provider(there, "mine")["baseUrl"] == SIDECAR
    assert at(there, "agents", "entries", "main", "params", "extra_body", "metadata", "agent") == "main"
    assert planned(there, agents=agents).is_empty


def test_settings_and_permissions_of_models_hold_at_every_priority() -> None:
    tree = config()
    tree["agents"]["defaults"] |= {
        "models": {
            f"nvidia/{MODEL}": {"alias": "ds", "params": {"temperature": 1}},
            "openai/gpt": {},
            "nvidia/odd": 1,
            f"nvidia-low/{MODEL}": {"params": {"temperature": 2}},
        },
        "modelPolicy": {"allow": ["nvidia/*", "openai/gpt", "nvidia-low/*"]},
    }
    tree["agents"]["entries"]["ops"]["modelPolicy"] = {"allow": []}
    there = after(tree)
    models = at(there, "agents", "defaults", "models")
    assert models[f"nvidia-urgent/{MODEL}"] == {"params": {"temperature": 1}}
    assert models[f"nvidia-low/{MODEL}"] == {"params": {"temperature": 2}}
    allowed = at(there, "agents", "defaults", "modelPolicy", "allow")
    assert allowed == ["nvidia/*", "openai/gpt", "nvidia-low/*", "nvidia-urgent/*", "nvidia-high/*"]
    assert at(there, "agents", "entries", "ops", "modelPolicy", "allow") == []
    assert planned(there).is_empty


def test_each_agent_gets_its_name_beside_what_it_says_already() -> None:
    there = after(config())
    body = at(there, "agents", "entries", "ops", "params", "extra_body")
    assert body == {"user": "o", "metadata": {"team": "a", "agent": "ops"}}
    assert at(there, "agents", "entries", "main", "params", "extra_body", "metadata", "agent") == "main"


def test_a_name_of_its_own_params_of_its_own_and_other_providers_are_left_alone_and_told() -> None:
    tree = config()
    entries = tree["agents"]["entries"]
    entries["ops"]["params"]["extra_body"]["metadata"]["agent"] = "Olga"
    entries["odd"] = {"params": "none"}
    agents = (*TEAM, Known("odd", f"nvidia/{MODEL}"), Known("far", "openai/gpt"), Known("new", ""))
    made = planned(tree, agents=agents)
    named = [each.path[2] for each in made.changes if each.path[-1] == "agent"]
    assert named == ["main"]
    told = "\n".join(made.notes)
    assert "ops: it calls itself Olga" in told
    assert "odd: its params" in told
    assert "far: its model openai/gpt does not" in told
    assert "new: its model ? does not" in told


def test_heartbeats_of_the_team_and_of_single_agents_end() -> None:
    there = after(config())
    assert at(there, "agents", "defaults", "heartbeat", "every") == "0m"
    assert at(there, "agents", "entries", "ops", "heartbeat", "every") == "0m"
    assert "heartbeat" not in at(there, "agents", "entries", "main")
    assert at(after({}), "agents", "defaults", "heartbeat", "every") == "0m"


def test_the_board_may_be_registered_under_any_name() -> None:
    tree = config()
    server = {"url": BOARD, "transport": "streamable-http", "enabled": True}
    tree["mcp"] = {"servers": {"other": {"command": "x"}, "board": server}}
    assert "mcp" not in {each.path[0] for each in planned(tree).changes}
    tree["mcp"]["servers"] = {"clawpace": {"url": "http://127.0.0.1:1/mcp", "transport": "streamable-http"}}
    assert at(after(tree), "mcp", "servers", "clawpace", "url") == BOARD


@pytest.mark.parametrize(
    ("automation", "schedule"),
    [
        (job(schedule={"kind": "every", "everyMs": 600_000}), "every 10 min"),
        (job(schedule={"kind": "every", "everyMs": 90_000}), "every 90 s"),
        (job(schedule={"kind": "cron", "expr": "0 9 * * *"}), "0 9 * * *"),
        (job(schedule={"kind": "stream"}), "stream"),
        (job(), "?"),
        (job("systemEvent", wakeMode="now", schedule="odd"), "?"),
        (job(declarationKey="mine:1"), "?"),
    ],
)
def test_automations_that_start_turns_again_and_again_are_disabled(automation: Any, schedule: str) -> None:
    made = planned(after(config()), jobs=[automation])
    assert made.automations == (Automation("1", "beat", "ops", schedule),)
    assert not made.is_empty


def test_an_automation_without_a_name_or_an_agent_is_known_by_its_id() -> None:
    made = planned(after(config()), jobs=[job(name=None, agentId=None)])
    assert made.automations == (Automation("1", "1", "?", "?"),)


@pytest.mark.parametrize(
    "automation",
    [
        job(enabled=False),
        job("command"),
        job("systemEvent", wakeMode="next-heartbeat"),
        job("heartbeat", declarationKey="heartbeat:main"),
        job(payload=None),
    ],
)
def test_automations_that_start_no_turns_are_not_spoken_of(automation: Any) -> None:
    made = planned(after(config()), jobs=[automation])
    assert (made.automations, made.notes) == ((), ())


@pytest.mark.parametrize(
    ("automation", "why"),
    [
        (job(schedule={"kind": "at", "at": "2027-01-01"}), "comes once"),
        (job(declarationKey="memory-core:dreaming"), "OpenClaw's own"),
    ],
)
def test_what_comes_once_and_what_openclaw_would_make_again_stays_and_is_told(
    automation: Any, why: str
) -> None:
    made = planned(after(config()), jobs=[automation])
    assert made.is_empty
    assert why in made.notes[0]


@pytest.mark.parametrize("name", ["1", "beat"])
def test_an_automation_may_be_kept_by_its_id_or_its_name(name: str) -> None:
    kept = Wanted(SIDECAR, BOARD, keep=frozenset({name}))
    assert planned(after(config()), jobs=[job()], wanted=kept).is_empty


def test_who_is_missing_in_the_roster_and_who_in_openclaw_is_told() -> None:
    made = plan(config(), TEAM, ["main", "ghost"], WANTED)
    assert made.newcomers == ("ops",)
    assert any("not in OpenClaw: ghost" in note for note in made.notes)


def test_a_priority_header_of_another_value_is_put_right() -> None:
    wrong = {"baseUrl": SIDECAR, "headers": {"X-Priority": "low", "X-Mine": "1"}, "apiKey": REDACTED}
    there = after(config(**{"nvidia-high": wrong}))
    assert provider(there, "nvidia-high")["headers"] == {"X-Priority": "high", "X-Mine": "1"}
    assert change(there, ("models", "providers", "nvidia-high", "headers"), {"X-Mine": "1"}, "") is None


def test_sessions_give_the_boards_tools_back_unless_somebody_has_said_when() -> None:
    tree = config()
    assert at(after(tree), "mcp", "sessionIdleTtlMs") == MCP_IDLE_MS
    tree["mcp"] = {"sessionIdleTtlMs": 0}
    assert at(after(tree), "mcp", "sessionIdleTtlMs") == 0
