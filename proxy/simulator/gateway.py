"""What NVIDIA says to a request: its checks in their order. Decides; sends nothing, awaits nothing."""

import random
from collections import deque
from dataclasses import dataclass

import msgspec

from proxy.simulator import answers, bodies, latency
from proxy.simulator.calls import ToolCalls
from proxy.simulator.config import Config
from proxy.simulator.faults import Fault, Faults, Kind
from proxy.simulator.ledger import Outcome, Request
from proxy.simulator.limits import Limits
from proxy.simulator.plays import Play, streamed, whole
from proxy.simulator.spoil import Scene, spoil

MODELS_PATH = "/v1/models"
# Where the answer to a 202 is asked for: on NVIDIA's own host for polling, and on this one.
STATUS_PATHS = ("/v1/status/", "/v2/nvcf/pexec/status/")


@dataclass(frozen=True, slots=True)
class Verdict:
    play: Play
    outcome: Outcome
    counted: bool = False
    """Whether a place in the window was spent (a refusal spends none)."""
    model: str = ""
    fault: Kind | None = None
    worker: bool = False
    """Whether a worker of the model is held until the answer has ended."""


def _rejected(status: int, body: bytes) -> Verdict:
    return Verdict(whole(status, body), Outcome.REJECTED)


class Gateway:
    """Owns the limits, the scripts and the lots; all of them change only through its methods."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.limits = Limits(config)
        self.faults = Faults()
        self.calls = ToolCalls()
        self._number = 0
        self.reset()

    def configure(self, config: Config) -> None:
        self.config = self.limits.config = config

    def reset(self) -> None:
        """Back to the start, except for the settings and for what is still going on."""
        self.limits.reset()
        self.faults.reset()
        self.calls.reset()
        self._lots = random.Random(self.config.seed)  # noqa: S311  # a repeatable day, not a secret
        self._later: deque[tuple[str, Play]] = deque(maxlen=1000)  # answers behind a 202

    def judge(self, request: Request, now: float) -> Verdict:
        """What this request gets, having arrived whole at ``now``."""
        if request.path not in bodies.COUNTED:
            return self._open(request)
        if request.method != "POST":
            return _rejected(405, answers.WRONG_METHOD)
        key = request.key
        if key is None or self.config.key not in {None, key}:
            return _rejected(401, answers.UNAUTHORIZED)
        body = bodies.read(request.path, request.body)
        if not self.limits.arrive(now, key, body.model):
            return Verdict(whole(429, answers.TOO_MANY), Outcome.REFUSED, model=body.model)
        if isinstance(body, bodies.Problem):
            play = whole(400, msgspec.json.encode(body.error))
            return Verdict(play, Outcome.REJECTED, counted=True, model=body.model)
        return self._serve(request.path, key, body, now)

    def _serve(self, path: str, key: str, body: bodies.Body, now: float) -> Verdict:
        workers = self.limits.enter(body.model)
        if workers is not None:
            play = whole(503, answers.workers_full(workers))
            return Verdict(play, Outcome.EXHAUSTED, counted=True, model=body.model)
        try:
            fault = self.faults.take(path, body.model)
        except ValueError as unknown:
            play = whole(
                400, msgspec.json.encode({"status": 400, "title": "Bad Request", "detail": unknown.args[0]})
            )
            return Verdict(play, Outcome.REJECTED, counted=True, model=body.model, worker=True)
        play = self._answer(path, body, now, honest=fault is None)
        if fault is None:
            return Verdict(play, Outcome.ANSWERED, counted=True, model=body.model, worker=True)
        play = self._spoilt(play, fault, body.model, key)
        return Verdict(play, Outcome.FAULTED, counted=True, model=body.model, fault=fault.kind, worker=True)

    def release(self, verdict: Verdict) -> None:
        """The answer has ended, one way or the other."""
        if verdict.worker:
            self.limits.leave(verdict.model)

    def _open(self, request: Request) -> Verdict:
        """The paths that need no key and spend nothing."""
        fault = self.faults.take(request.path, "", counted=False)
        play = self._look_up(request.path) if request.method in {"GET", "HEAD"} else None
        if fault is not None:
            honest = play or whole(404, answers.NO_SUCH_PATH)
            return Verdict(
                self._spoilt(honest, fault, "", request.key or ""), Outcome.FAULTED, fault=fault.kind
            )
        if play is None:
            return _rejected(404, answers.NO_SUCH_PATH)
        return Verdict(play, Outcome.ANSWERED)

    def _look_up(self, path: str) -> Play | None:
        if path == MODELS_PATH:
            return whole(200, answers.model_list())
        model = path.removeprefix(f"{MODELS_PATH}/")
        if model in answers.MODELS:
            return whole(200, msgspec.json.encode(answers.model_card(model)))
        for place in STATUS_PATHS:
            for ticket, play in self._later:
                if path == place + ticket:
                    return play
        return None

    def _answer(self, path: str, body: bodies.Body, now: float, *, honest: bool) -> Play:
        config = self.config
        pause = latency.parse(config.latency).draw(self._lots)
        if path == bodies.EMBEDDINGS:
            return whole(200, answers.embeddings(body), pause=pause)
        self._number += 1
        call = self.calls.take(body) if honest else None  # one that would not arrive waits for the next try
        called = None if call is None else answers.Called(call.name, call.written(body))
        reply = answers.Reply(path, body, body.reply(config.chunks), self._number, int(now), called)
        if not body.stream:
            return whole(200, answers.full(reply), pause=pause)
        if config.first_token is not None:
            pause = latency.parse(config.first_token).draw(self._lots)
        return streamed(answers.events(reply, config.chunks), pause=pause, gap=config.chunk_gap)

    def _spoilt(self, play: Play, fault: Fault, model: str, key: str) -> Play:
        ticket = f"{self._lots.getrandbits(128):032x}"
        if fault.kind is Kind.LATER:
            self._later.append((ticket, play))
        return spoil(Scene(play, fault, model, key, ticket))
