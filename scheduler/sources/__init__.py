"""Where work comes from besides the board itself: OpenClaw's WorkBoard, Multica, to-do documents.

The rule: a source is somebody else's. It is asked with a time limit, believed in nothing but its own state,
and when it is away the others go on. Which of its items become tasks, and what it is told of them, is decided
in ``core``; here stands only how each is spoken to.
"""
