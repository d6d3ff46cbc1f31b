"""The NVIDIA sidecar: spends one small, hard request-per-minute budget well.

The story of one request:

1.  ``app`` routes it; a guard has looked at its host, its origin and its framing.
2.  ``handler`` reads the whole body, then who asks and how urgently (``caller``, ``body``).
3.  ``gate`` asks the pure ``core`` for a slot: the request goes, waits in its band, or is refused with a
    reason.
4.  The slot is on disk (``stamps``) before a byte leaves.
5.  ``upstream`` writes the request; the slot's time runs from the moment the last byte was written.
6.  ``core.classify`` says what the answer means: relay it, or try again through step 3 (``obtaining``). What
    it teaches about the account, the model and the upstream goes back to the gate (``lessons``).
7.  ``relay`` passes the answer on byte for byte, reading the token counts in passing. A stream that has
    waited for long got its head and empty chunks before (``keepalive``).
8.  A client that hangs up anywhere on this way gives back what it held.
"""

from importlib.metadata import version

__version__ = version("clawpace")
