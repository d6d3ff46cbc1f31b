"""The alert bridge: what Alertmanager has to tell goes the way of all messages.

The rule: 200 means that the outbox has it, on the disk. Until then Alertmanager keeps it, and repeats what
was answered with 5xx. It repeats what it has told before, too: one state of one alert is told once.
"""

from scheduler.alerts.bridge import build_bridge

__all__ = ["build_bridge"]
