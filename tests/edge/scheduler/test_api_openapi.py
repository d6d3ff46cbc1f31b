"""The description: complete, and true."""

import re
from typing import Any

import jsonschema
import pytest
from msgspec import Struct

from scheduler.api.openapi import DESCRIPTION
from scheduler.api.tasks import ACTIONS
from scheduler.verbs import OUTCOMES, VERBS
from tests.edge.scheduler.office import TASKS, Office

PATHS: dict[str, dict[str, Any]] = DESCRIPTION["paths"]
METHODS = ("get", "post", "patch", "put", "delete")
OPERATIONS = [(path, method) for path, item in PATHS.items() for method in METHODS if method in item]


def operation(path: str, method: str) -> dict[str, Any]:
    return PATHS[path][method]  # type: ignore[no-any-return]  # a description is what JSON is


def conforms(value: object, path: str, method: str, status: int) -> None:
    """`value` is as the description says, with nothing missing."""
    schema = operation(path, method)["responses"][str(status)]["content"]["application/json"]["schema"]
    jsonschema.validate(
        value, {**schema, "components": DESCRIPTION["components"]}, cls=jsonschema.Draft202012Validator
    )


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
async def test_what_is_described_is_served(office: Office, path: str, method: str) -> None:
    target = path.replace("{id}", "T-9999").replace("{name}", "x")
    talk = office.begin(method.upper(), target, token=None)
    await talk.until(lambda talk: bool(talk.chunks))
    described = operation(path, method)["responses"]
    assert str(talk.status) in described, talk
    if talk.status == 404:
        assert talk.json["error"]["message"].startswith("there is no task"), "the path is served"
    talk.hang_up()


@pytest.mark.parametrize("path", sorted(PATHS))
async def test_what_is_not_described_is_not_served(office: Office, path: str) -> None:
    target = path.replace("{id}", "T-9999").replace("{name}", "x")
    for method in METHODS:
        if method not in PATHS[path]:
            talk = await office.ask(method.upper(), target)
            allowed = {word.lower() for word in (talk.header(b"allow") or b"").decode().split(", ")}
            if talk.status == 405:
                assert allowed - {"head"} == set(PATHS[path]) - {"parameters"}
            else:  # `claim` in the place of an id
                assert path == f"{TASKS}/claim"
                assert talk.status in {404, 422}


async def test_the_description_is_served_as_it_is(office: Office) -> None:
    assert (await office.get("/openapi.json"))["paths"].keys() == PATHS.keys()
    assert DESCRIPTION["openapi"] == "3.1.0"


def test_every_verb_of_the_board_can_be_asked_for() -> None:
    elsewhere = {"create", "list", "read", "set", "claim-next"}
    assert set(ACTIONS) == set(VERBS) - elsewhere


def test_every_reference_leads_somewhere() -> None:
    names = re.findall(r"'#/components/schemas/(\w+)'", repr(DESCRIPTION))
    assert set(names) <= set(DESCRIPTION["components"]["schemas"])
    for schema in DESCRIPTION["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_every_parameter_of_a_path_is_described() -> None:
    for path, item in PATHS.items():
        described = {
            parameter["name"]
            for each in (item, *(item[method] for method in METHODS if method in item))
            for parameter in each.get("parameters", [])
            if parameter["in"] == "path"
        }
        assert described == set(re.findall(r"{(\w+)}", path)), path


def test_bodies_are_described_field_by_field() -> None:
    schemas = DESCRIPTION["components"]["schemas"]
    for verb in VERBS.values():
        body: type[Struct] = verb.body
        assert set(schemas[body.__name__]["properties"]) == set(body.__struct_fields__)
        assert schemas[body.__name__]["additionalProperties"] is False


def test_every_code_of_the_board_is_described() -> None:
    described = repr(PATHS)
    assert [code for code in OUTCOMES if f"`{code}`" not in described] == []


def test_writes_say_which_token_they_need() -> None:
    for path, method in OPERATIONS:
        security = operation(path, method)["security"]
        if method == "get":
            assert {} in security
        else:
            verb = path.rpartition("/")[2]
            holders = verb in VERBS and VERBS[verb].holders
            assert ({"claimToken": []} in security) is holders, path
            assert {} not in security


async def test_answers_are_as_described(office: Office) -> None:
    at = f"{TASKS}/{{id}}"
    made = await office.ask("POST", TASKS, {"title": "x", "assignee": "coo"})
    conforms(made.json, TASKS, "post", 201)
    claim = await office.post(f"{TASKS}/T-0001/claim", {"agent": "coo"})
    conforms(claim, f"{at}/claim", "post", 200)
    token = claim["claim"]
    for verb, body in (
        ("heartbeat", {"turn": 1, "note": "x"}),
        ("observe", {"text": "x"}),
        ("output", {"text": "x", "final": True}),
    ):
        conforms(await office.post(f"{TASKS}/T-0001/{verb}", body, token=token), f"{at}/{verb}", "post", 200)
    conforms(await office.post(f"{TASKS}/T-0001/decide", {"accept": True}), f"{at}/decide", "post", 200)
    full = await office.get(f"{TASKS}/T-0001?full=1")
    conforms(full, at, "get", 200)
    assert set(full) == set(DESCRIPTION["components"]["schemas"]["TaskWithThread"]["properties"])
    for part in ("outputs", "comments", "observations", "decisions", "attempts", "events"):
        properties = DESCRIPTION["components"]["schemas"]["TaskWithThread"]["properties"]
        assert set(full[part][0]) == set(properties[part]["items"]["properties"]), part
    assert set(made.json) == set(DESCRIPTION["components"]["schemas"]["Task"]["properties"])
    for path in ("/health", "/version", "/api/daemon/status", TASKS, "/openapi.json"):
        conforms(await office.get(path), path, "get", 200)
    for path in ("tick", "stop", "start", "pause", "resume"):
        conforms(await office.post(f"/api/daemon/{path}"), f"/api/daemon/{path}", "post", 200)
    error = await office.ask("POST", f"{TASKS}/T-0001/retry", {})
    conforms(error.json, f"{at}/retry", "post", 409)
