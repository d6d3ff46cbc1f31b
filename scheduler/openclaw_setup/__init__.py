"""Points OpenClaw at the sidecar and the board, and takes that back: `agent-scheduler openclaw`.

The rule: nothing is changed that was not shown, agreed to and saved first. OpenClaw's configuration is read
and changed through OpenClaw's own command line. One thing that cannot do: a patch writes the whole file anew,
without its comments. So the file's bytes are kept, and come back if nobody has touched the file since; else
the single changes are taken back, and what others have changed stays.

What to change is decided in `core.openclaw`.
"""
