"""The report: what was done, what was not and why, what waits for whom, what it took.

``collect`` (in `blackboard.reporting`) and ``asking`` look, ``building`` makes one frozen ``Report`` of it,
``sections`` says it in words, and ``text``, ``markdown`` and ``as_json`` write it down. ``Reporting`` is the
daemon's part that sends it every day; ``command`` is `agent-scheduler report`.

The rule: every figure says which time it covers, what nobody knows is called unknown and not zero, and every
open task is told in one sentence.
"""
