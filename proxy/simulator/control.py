"""The simulator's own endpoints, ``/_sim/…``: script, change, look. Neither counts nor faults touch them."""

from typing import Protocol
from urllib.parse import parse_qs

import msgspec

from proxy.simulator.calls import ToolCall
from proxy.simulator.config import Config
from proxy.simulator.faults import Fault
from proxy.simulator.ledger import Record, Request, Stats
from proxy.simulator.plays import Play, whole

PREFIX = "/_sim/"


class Controls(Protocol):
    """What there is to control: the simulator, as a test holds it in its hand."""

    @property
    def config(self) -> Config: ...
    @property
    def requests(self) -> list[Record]: ...
    def stats(self) -> Stats: ...
    def add_fault(self, fault: Fault) -> None: ...
    def add_call(self, call: ToolCall) -> None: ...
    def configure(self, config: Config) -> None: ...
    def reset(self) -> None: ...


def control(simulator: Controls, request: Request) -> Play:
    try:
        answer = _act(simulator, request)
    except (ValueError, RecursionError) as error:  # msgspec's errors too; they name the field
        return whole(400, msgspec.json.encode({"error": str(error)}))
    return whole(200, msgspec.json.encode(answer))


def _act(simulator: Controls, request: Request) -> object:
    match request.method, request.path.removeprefix(PREFIX):
        case "GET", "stats":
            return simulator.stats()
        case "GET", "requests":
            limit = int(parse_qs(request.query).get("limit", ["100"])[0])
            return [record.as_json() for record in simulator.requests[-limit:]] if limit > 0 else []
        case "GET", "settings":
            return simulator.config
        case "POST", what:
            return _change(simulator, what, request)
    raise _unknown(request)


def _change(simulator: Controls, what: str, request: Request) -> object:
    match what:
        case "settings":
            simulator.configure(simulator.config.changed_by(request.body))
            return simulator.config
        case "fault":
            fault = msgspec.json.decode(request.body, type=Fault)
            simulator.add_fault(fault)
            return fault
        case "call":
            call = msgspec.json.decode(request.body, type=ToolCall)
            simulator.add_call(call)
            return call
        case "reset":
            simulator.reset()
            return simulator.stats()
    raise _unknown(request)


def _unknown(request: Request) -> ValueError:
    return ValueError(
        f"nvidia-sim has no {request.method} {request.path}; docs/simulator.md lists what it has"
    )
