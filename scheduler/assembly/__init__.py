"""Everything that the daemon runs, put together: who is handed what.

`whole` is the picture; what it is made of, and from what, is in the files beside it.
"""

from scheduler.assembly.parts import Given, Parts, Ports
from scheduler.assembly.whole import assemble

__all__ = ["Given", "Parts", "Ports", "assemble"]
