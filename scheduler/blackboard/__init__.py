"""The board: tasks and everything beside them, kept in one database and one directory of files.

Where to look:

1.  ``store`` is what can be asked of it, synchronous: each write is one transaction, each read one look.
2.  ``tables`` and ``migrations`` are its shape, the same for both databases; ``rows`` turns rows into the
    core's records and back, ``reading`` and ``saving`` hold the statements.
3.  ``sqlite`` and ``postgresql`` are what differs: how one connects, what begins a transaction, what the
    driver's errors mean.
4.  ``schema`` opens a board: migrates it, or refuses what is not ours or newer than we are.
5.  ``artifacts`` is what was handed in; ``backup`` copies the database and brings it back.
6.  ``board`` carries the store's calls to threads, for the daemon.

The rule: what a task may do is decided in ``scheduler.core``; here a decision is written whole or not at all.
Whoever got an answer finds it there after a power cut.
"""
