"""`blackboard`: the board on the command line, for people and for agents.

The story of one command: `__main__` runs it and turns whatever comes of it into an exit code; `line` reads
the options that all commands share; `ways` finds the board, which is a database (`direct`) or an address
(`remote`), both asked the same questions; a file in `commands` asks one; `printing` shows the answer.

The rule: `--json` prints exactly one JSON value on stdout, whatever happens. What others wrote is shown with
its control characters escaped and its markup as it is. Heavy imports are inside the commands: whoever waits
half a second for each line it writes waits for an hour a day.
"""
