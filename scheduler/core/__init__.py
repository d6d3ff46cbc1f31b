"""What the scheduler decides, without doing it.

The rule: data in, data out. Nothing here does I/O, reads a clock, draws a lot, logs or awaits; `now` is an
argument, in Unix seconds. So a day of a team's work runs in a test in a moment, and the same `now` twice
gives the same answer twice.
"""
