"""A strict stand-in for NVIDIA's API, for demos, tests and benchmarks: ``nvidia-sim``.

What it plays: chat, completions and embeddings, streamed or not; the list of models; the limit per key, the
lower limits of some models, full workers; and, when asked, each fault that NVIDIA or the way to it has shown.

What it is strict about:

1.  A request counts when its last byte has *arrived*, whatever becomes of it afterwards: a fault, a full
    worker, a body that is not JSON. Only a missing or wrong key, and a 429 by the limits themselves, spend
    nothing.
2.  Two arrivals *exactly* one window apart count as in the same window. In the load test on record the real
    API threw requests out at 60 s spacing and none at 61 s.
3.  A 429 says what NVIDIA's says, and carries no Retry-After.
4.  What it reports (``most accepted in any window``) is computed over every arrival, not sampled.

Assumptions, where nothing is on record: ``GET /v1/models`` is open without a key and does not count, nor does
polling a 202; a bad request counts; any model name is served; every model answers text, tools or not,
unless a call is scripted.

One request:

1.  ``wire`` reads it whole. ``ledger`` writes it down.
2.  ``gateway`` decides, in pure code with ``now`` handed in: ``limits``, then ``bodies``, then ``faults``.
3.  What it decides is a ``Play`` (``plays``): head, pieces, pauses and how it ends, made of ``answers``.
4.  ``wire`` performs the play while it listens for a client that hangs up.

It imports nothing of the sidecar: a mistake shared with what it tests would hide itself.
"""

from proxy.simulator.config import Config
from proxy.simulator.faults import Fault, Kind
from proxy.simulator.ledger import Record, Stats
from proxy.simulator.server import Simulator, open_simulator, serve

__all__ = ["Config", "Fault", "Kind", "Record", "Simulator", "Stats", "open_simulator", "serve"]
