"""One lane's budget: when may the next request go?

Three rules, and the latest of them decides:

1. the pace (``bucket``): credit after idleness, else one send per interval;
2. the window (``window``): never more than L held;
3. the promise to URGENT: a paced send may take even the reserve, but only while urgent requests that come
   every two intervals from now on would still find a slot. The j-th slot comes free at r(j); until then
   `n = free + j` slots serve urgent requests for `n * 2T` seconds; or, as far as the reserve goes, the n-th
   of those that come all at once in `(n + 1) * T`. The rule holds at every j; looking at 0, 1, 2, 4, 8 …
   keeps it cheap and in simulation was as good as looking at all.

A strict reserve in place of rule 3 (slots never given to others) would idle; no reserve lets URGENT wait
behind a full window (`python -m bench.budget_simulation` prints the comparison).
"""

from collections.abc import Iterable

from proxy.core.bucket import Bucket, Pace
from proxy.core.window import Slot, Window


class Budget:
    """Pace and window of one lane. Owner of its state: the lane's ``Admission``."""

    def __init__(
        self,
        *,
        limit: int,
        window_seconds: float,
        margin_seconds: float,
        bucket_capacity: int,
        now: float,
        release_ats: Iterable[float] = (),
    ) -> None:
        """`limit` sends per `window_seconds`; `release_ats` are the slots an earlier process still holds."""
        self._window_seconds = window_seconds
        self._bucket_capacity = bucket_capacity
        self._factor = 1.0
        self.window = Window(limit, window_seconds + margin_seconds)
        self.window.restore(release_ats, now)
        self._bucket = Bucket(self._pace(), now, self.window.held(now))
        self.backlogged = False
        """Does a request that is not urgent wait for a slot? Set by `backlog` alone."""

    @property
    def pace(self) -> Pace:
        """The emission interval, burst and reserve that hold now."""
        return self._bucket.pace

    @property
    def sends_per_window(self) -> float:
        """What the pace lets go in a window: the limit, less in retreat."""
        return self.window.limit * self._factor

    def may_go_at(self, now: float, *, urgent: bool) -> float:
        """The earliest time at which one more request may be sent; `now` if it may at once.

        A later time is when to look again: what happens until then (a slot written, a send) can move it.
        """
        at = self._bucket.ready_at(now, urgent=urgent)
        free = self.window.free(now)
        if free < 1:
            return max(at, self.window.release_at(-free, now))
        if urgent or (not self.backlogged and free > self.pace.reserve):
            return at
        return max(at, self._promise_allows_at(now, free))

    def _promise_allows_at(self, now: float, free: int) -> float:
        """The earliest time at which a send that is not urgent leaves the promise to URGENT intact.

        A hundredth of an interval is not waited for: while a slot is not written, its release moves on with
        `now`, and so does this time. Whoever slept until then would wake again and again, at each float.
        """
        pace, held = self.pace, self.window.limit - free
        at, index = now, 0
        while index < held:
            slots = free + index
            turns = slots + 1 if slots <= pace.reserve else slots * 2
            at = max(at, self.window.release_at(index, now) - turns * pace.interval)
            index = index * 2 or 1
        return at if at - now > pace.interval / 100 else now

    def send(self, now: float) -> Slot:
        """Spend one slot. The caller has seen that it may go."""
        self._bucket.take(now, backlogged=self.backlogged)
        return self.window.hold()

    def backlog(self, waiting: bool, now: float) -> None:
        """Does a request that is not urgent wait for a slot?"""
        if waiting and not self.backlogged:
            self._bucket.begin_backlog(now)
        self.backlogged = waiting

    def set_factor(self, factor: float, now: float) -> None:
        """The retreat changed the effective rate. The window's limit never changes with it."""
        self._factor = factor
        self._bucket.change(self._pace(), now)

    def wait_for(self, ahead: int, now: float, *, urgent: bool, not_before: float) -> float:
        """Estimated seconds until a request with `ahead` others before it may go, nobody `not_before`.

        The latest of three: its turn in the pace, the slot that comes free for it, and the next send of all.
        """
        first = max(self.may_go_at(now, urgent=urgent), not_before) - now
        turns = ahead - (self.pace.reserve if urgent else 0)
        paced = max(self._bucket.debt(now), not_before - now) + turns * self.pace.interval
        free = self.window.free(now)
        if ahead < free:
            return max(first, paced)
        held = self.window.limit - free
        rounds, index = divmod(ahead - free, max(held, self.window.limit))
        release_at = self.window.release_at(index, now) + rounds * self.window.hold_seconds
        return max(first, paced, release_at - now)

    def tokens(self, now: float) -> float:
        """Sends that could go at once, were they urgent."""
        return min(self._bucket.tokens(now), max(0.0, float(self.window.free(now))))

    def _pace(self) -> Pace:
        return Pace.of(self.window.limit, self._window_seconds, self._bucket_capacity, self._factor)
