"""How long an answer takes: a fixed time, a range, or NVIDIA's long tail.

A spec is a number (``0.4``), a range (``4-12``, uniform) or ``lognormal:MEDIAN,SIGMA`` (``lognormal:6,0.5``),
all in seconds. The lots come from the caller, so that a seed repeats a day.
"""

import math
import random
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class Uniform:
    low: float
    high: float

    def draw(self, lots: random.Random) -> float:
        return self.low if self.low == self.high else lots.uniform(self.low, self.high)


@dataclass(frozen=True, slots=True)
class Lognormal:
    median: float
    sigma: float

    def draw(self, lots: random.Random) -> float:
        return lots.lognormvariate(math.log(self.median), self.sigma)


@lru_cache(maxsize=64)
def parse(spec: float | str) -> Uniform | Lognormal:
    """What a spec means; ValueError with a sentence when it means nothing."""
    try:
        if isinstance(spec, str) and spec.startswith("lognormal:"):
            median, sigma = map(float, spec.removeprefix("lognormal:").split(","))
            if 0 < median < math.inf and 0 <= sigma <= 10:
                return Lognormal(median, sigma)
        else:
            low, _, high = spec.partition("-") if isinstance(spec, str) else (spec, "", "")
            uniform = Uniform(float(low), float(high or low))
            if 0 <= uniform.low <= uniform.high < math.inf:
                return uniform
    except ValueError:
        pass
    raise ValueError(f"not a latency: {spec!r} (expected SECONDS, LOW-HIGH or lognormal:MEDIAN,SIGMA)")
