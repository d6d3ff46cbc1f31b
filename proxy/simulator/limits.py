"""What NVIDIA counts: arrivals per key and per model in a sliding window, and a model's busy workers.

Pure: time is an argument, and no call awaits. ``now`` must not go backwards.
"""

from collections import Counter, defaultdict, deque

from proxy.simulator.config import Config


class SlidingWindow:
    """Accepted arrivals of the last ``length`` seconds, and the most there ever were in one window.

    Both ends of the window belong to it: an arrival exactly ``length`` ago still counts. A fullest window can
    always be shifted until it ends at an arrival, so looking back from each arrival finds the maximum over
    *all* windows.
    """

    def __init__(self) -> None:
        self._arrivals: deque[float] = deque()
        self.most = 0

    def count(self, now: float, length: float) -> int:
        while self._arrivals and now - self._arrivals[0] > length:
            self._arrivals.popleft()
        return len(self._arrivals)

    def add(self, now: float, length: float) -> None:
        self._arrivals.append(now)
        self.most = max(self.most, self.count(now, length))


class Limits:
    """The windows and the workers; the gateway is the only one that moves them.

    A change of ``config`` takes effect at the next arrival and keeps what has been counted. A longer window
    cannot bring back arrivals that the shorter one has forgotten.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self._busy: Counter[str] = Counter()  # per model; entered and left in pairs
        self.reset()

    def reset(self) -> None:
        """Forget every arrival. Busy workers stay busy: their requests have not ended."""
        self._all = SlidingWindow()
        self._keys: defaultdict[str, SlidingWindow] = defaultdict(SlidingWindow)
        self._models: defaultdict[str, SlidingWindow] = defaultdict(SlidingWindow)

    def arrive(self, now: float, key: str, model: str) -> bool:
        """Whether this arrival is within the key's and the model's limits; only then it counts, in both."""
        length = self.config.window
        if self._keys[key].count(now, length) >= self.config.rpm:
            return False
        limit = self.config.model_rpm.get(model)
        if limit is not None and self._models[model].count(now, length) >= limit:
            return False
        self._all.add(now, length)
        self._keys[key].add(now, length)
        if limit is not None:
            self._models[model].add(now, length)
        return True

    def enter(self, model: str) -> int | None:
        """Take a worker of this model; None is a success, a number is how many there are, all busy."""
        workers = self.config.workers.get(model)
        if workers is not None and self._busy[model] >= workers:
            return workers
        self._busy[model] += 1
        return None

    def leave(self, model: str) -> None:
        self._busy[model] -= 1
        if not self._busy[model]:
            del self._busy[model]

    @property
    def busy(self) -> dict[str, int]:
        return dict(self._busy)

    @property
    def max_in_window(self) -> int:
        return self._all.most

    @property
    def max_in_window_by_key(self) -> dict[str, int]:
        return {key: window.most for key, window in self._keys.items()}

    @property
    def max_in_window_by_model(self) -> dict[str, int]:
        return {model: window.most for model, window in self._models.items()}
