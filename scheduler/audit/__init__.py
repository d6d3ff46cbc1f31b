"""The audit log: who did what, when, to what, and what came of it.

The story of one record:

1.  ``record`` makes it plain: types that every store can hold, no secret, of bounded size.
2.  ``log`` takes it without waiting, and writes it with others: when many have come, when an interval has
    passed, and at the stop. It keeps what a store refuses and tries again.
3.  A store (``store`` says what one must do) makes it durable: ``memory``, ``file``, or the board's database,
    whose store comes from there.
4.  Once a day, and at the start, what is older than the retention is deleted.

The rule: to act matters more than to have it audited. Nobody waits for the log, and nothing that happens to a
store ends anything else; that it fails is told instead, in the process's log, its metrics and its health.
"""
