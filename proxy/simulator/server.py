"""The simulator as a server, in a process of its own or inside a test.

    async with open_simulator(Config(latency=0)) as simulator:
        ...  # simulator.url

``Simulator`` is the one object that a test holds: it scripts through it, and sees through it what arrived.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec
import trio

from proxy.simulator.calls import ToolCall
from proxy.simulator.config import Config
from proxy.simulator.control import PREFIX, control
from proxy.simulator.faults import Fault, Kind
from proxy.simulator.gateway import Gateway
from proxy.simulator.ledger import Ledger, Outcome, Record, Request, Stats
from proxy.simulator.plays import whole
from proxy.simulator.wire import HungUpError, NotHTTPError, Wire

# A benchmark opens its thousand connections at once.
BACKLOG = 4096


class Simulator:
    """The parts put together; one per listening socket."""

    def __init__(self, config: Config, clock: Callable[[], float], host: str, port: int) -> None:
        self.host, self.port = host, port
        self._clock = clock
        self._gateway = Gateway(config)
        self._ledger = Ledger()
        self._changed = trio.lowlevel.ParkingLot()  # everyone in wait_for

    def __repr__(self) -> str:
        stats = self.stats()
        return f"<nvidia-sim at {self.url}: {stats.requests} requests, {stats.in_flight} in flight>"

    @property
    def root(self) -> str:
        return f"http://[{self.host}]:{self.port}" if ":" in self.host else f"http://{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """What a client takes for its base URL."""
        return f"{self.root}/v1"

    @property
    def config(self) -> Config:
        return self._gateway.config

    @property
    def requests(self) -> list[Record]:
        """The last thousand, oldest first."""
        return list(self._ledger.records)

    def stats(self) -> Stats:
        ledger, limits = self._ledger, self._gateway.limits
        return Stats(
            requests=ledger.requests,
            accepted=ledger.accepted,
            refused=ledger.refused,
            uncounted=ledger.uncounted,
            exhausted=ledger.exhausted,
            faulted=ledger.faulted,
            aborted=ledger.aborted,
            malformed=ledger.malformed,
            in_flight=ledger.in_flight,
            connections=ledger.connections,
            connections_opened=ledger.connections_opened,
            max_in_window=limits.max_in_window,
            max_in_window_by_key=limits.max_in_window_by_key,
            max_in_window_by_model=limits.max_in_window_by_model,
            busy=limits.busy,
            models=dict(ledger.models),
        )

    async def wait_for(self, seen: Callable[[Stats], bool]) -> Stats:
        """Until the counts are as wished; bound it with ``trio.fail_after``."""
        while not seen(stats := self.stats()):
            await self._changed.park()
        return stats

    def script_fault(
        self,
        kind: str,
        *,
        count: int | None = None,
        model: str | None = None,
        after: int = 0,
        path: str | None = None,
        value: str | None = None,
    ) -> None:
        """``POST /_sim/fault`` without the POST."""
        self.add_fault(Fault(kind=Kind(kind), count=count, model=model, after=after, path=path, value=value))

    def add_fault(self, fault: Fault) -> None:
        self._gateway.faults.script(fault)

    def add_call(self, call: ToolCall) -> None:
        """``POST /_sim/call`` without the POST."""
        self._gateway.calls.script(call)

    def configure(self, config: Config) -> None:
        self._gateway.configure(config)

    def change(self, **settings: object) -> None:
        """``POST /_sim/settings`` without the POST: ``simulator.change(rpm=5)``."""
        self.configure(self.config.changed_by(msgspec.json.encode(settings)))

    def reset(self) -> None:
        """Forget counts, requests and scripts; settings stay, and so does what is in flight."""
        self._gateway.reset()
        self._ledger.reset()
        self._changed.unpark_all()

    async def converse(self, stream: trio.SocketStream) -> None:
        """One connection, from its first request to its last."""
        wire = Wire(stream)
        with self._ledger.connection() as number:
            self._changed.unpark_all()
            try:
                while await self._exchange(wire, number) and wire.next_cycle():
                    pass
            except HungUpError:
                self._ledger.hung_up()
            except NotHTTPError as error:
                self._ledger.malformed += 1
                await wire.perform(
                    whole(error.args[0], b'{"status":%d,"title":"Bad Request"}' % error.args[0])
                )
        self._changed.unpark_all()

    async def _exchange(self, wire: Wire, connection: int) -> bool:
        """One request and its answer; False when there was none, or nobody to hear it."""
        request = await wire.receive(self._gateway.faults.reads_slowly)
        if request is None:
            return False
        if request.path.startswith(PREFIX):
            return await wire.perform(control(self, request))
        return await self._answer(wire, connection, request)

    async def _answer(self, wire: Wire, connection: int, request: Request) -> bool:
        now = self._clock()
        record = self._ledger.arrived(now, connection, request)
        verdict = self._gateway.judge(request, now)
        outcome, fault = verdict.outcome, verdict.fault
        self._ledger.judged(
            record, outcome=outcome, counted=verdict.counted, model=verdict.model, fault=fault
        )
        self._changed.unpark_all()

        def ending() -> None:
            self._gateway.release(verdict)
            self._ledger.ended(record, verdict.outcome, verdict.play.status)
            self._changed.unpark_all()

        finished = False
        try:
            finished = await wire.perform(verdict.play, ending)
        finally:
            if record.outcome is Outcome.IN_FLIGHT:
                ending()
            if not finished:
                self._ledger.hung_up(record)
        return finished


async def serve(
    config: Config | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    clock: Callable[[], float] = trio.current_time,
    task_status: trio.TaskStatus[Simulator] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Listen until cancelled; ``await nursery.start(serve, config)`` hands out the ``Simulator``."""
    listeners = await trio.open_tcp_listeners(port, host=host, backlog=BACKLOG)
    address = listeners[0].socket.getsockname()
    simulator = Simulator(config or Config(), clock, address[0], address[1])
    task_status.started(simulator)
    await trio.serve_listeners(simulator.converse, listeners)


@asynccontextmanager
async def open_simulator(
    config: Config | None = None, *, clock: Callable[[], float] = trio.current_time
) -> AsyncIterator[Simulator]:
    """A simulator on a free port of 127.0.0.1 for as long as the block lasts."""
    failure: Exception | None = None
    async with trio.open_nursery() as nursery:
        simulator: Simulator = await nursery.start(
            lambda task_status: serve(config, clock=clock, task_status=task_status)
        )
        try:
            yield simulator
        except Exception as error:
            # Raised again below: the nursery would wrap a test's plain failure in a group.
            failure = error
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure
