"""Starts runs, learns how they stand, stops them, puts their sessions away.

A run is one turn of an agent, from its prompt to its answer, with as many calls of tools and of the model as
it takes. It lives in OpenClaw's gateway, not in us: whatever becomes of this process, the run goes on.

Two promises, kept by ``openclaw``, and by ``scheduler.demo`` in its own small way:

-   no run is called ended or absent that may live;
-   nothing is started twice, however often a start is repeated.
"""

from scheduler.runs.openclaw import OpenClawRunner
from scheduler.runs.orders import Order, Runner, StartResult, StartState

__all__ = ["OpenClawRunner", "Order", "Runner", "StartResult", "StartState"]
