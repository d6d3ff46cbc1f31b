"""`agent-scheduler simulate`: a day of the team in seconds, by the same tick as in the daemon.

Real are the board (a copy, or an empty one), the ticker, the plan, the starter, the review of results. Played
are the agents (`team`: a run makes so many requests, each takes so long), the model API's budget (`budget`:
so many requests a minute, three bands), and the time (`clock`). `day` lets them meet, `figures` counts.

The rule: nothing real is touched. The configured board is copied by SQLite's own backup and never written, no
command is called, no message is sent, no model is asked.

What the model leaves out: refusals of the API and retreats after them, models with limits of their own,
people who talk with agents, work that comes in by task sources, checks and reviews that send a result back,
and everything that costs no request. It says how a budget and a
team fit together, not what the agents will do.
"""
