"""Between the task sources and the board: what waits there comes here, what becomes of it is told there.

The rule: a change that somebody made in a source wins over what we have yet to tell it. What was seen and
what was told stands on the board, one row for each item, so whatever is killed begins where it was.

`intake` looks for news (at heartbeats, and again and again at what is in progress), `absence` asks after what
is in no list any more, `taking_over` does on the board what the core says, `foreign_work` watches what others
do there, `mirroring` tells the sources. What it all means is decided in ``core.exchange``.
"""
