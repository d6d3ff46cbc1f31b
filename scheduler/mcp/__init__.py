"""The board as tools of the Model Context Protocol, for agents that have no shell.

One call: ``tools`` has the table of the nine, and turns a call into a question to the board; ``server``
speaks the protocol, with the official package; whoever carries it asks the board, and says who asks:
``scheduler.api.mcp`` over HTTP, ``stdio`` for `blackboard mcp`. ``registered`` finds out what the tools are
called in OpenClaw.

The rule: these are the questions of the command line and of HTTP, with the same answers and the same
refusals; a run's identity is its claim token. Nothing here decides or approves.

Only ``server`` and ``stdio`` import the package: it takes half a second and 30 MB, which is for those who
use it.
"""
