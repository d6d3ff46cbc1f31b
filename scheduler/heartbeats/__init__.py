"""Heartbeats: at times of its own each agent's sources are looked at, and what waits there reaches the board.

The rule: a heartbeat brings news and starts nothing; which task starts is the tick's to decide, and no model
is ever called from here. When it is due stands on the board before the time has come, and what came of it is
written together with the next due time: a heartbeat that nobody wrote down is fired again, and one that was
written down never is.

`schedule` knows calendars, `phases` keeps a team from firing together, `decisions` says what is due and what
becomes of what was missed, `beating` is one heartbeat, `part` fires each in its time, `command` does one by
hand. The first three are pure.
"""
