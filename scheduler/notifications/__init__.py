"""Telling people: what stands in the board's outbox is brought to the targets that the roster names.

The story of one message:

1.  Whatever happens writes a notice into the outbox, in the transaction of its cause: no cause without its
    message, no message twice for one cause.
2.  ``routing`` finds the target: the name's own, else `default`, else the log.
3.  ``quiet`` says until when it waits; ``letters`` puts together what is told at once, as long as fits there.
4.  ``openclaw``, ``feishu`` or the log takes it. What fails is tried again, ever more rarely (``retrying``);
    what will never be taken is said in the log, with the reason.

The rule: each target has a lane of its own, in which order is kept and one message is under way at a time.
A message that was being told when the process ended may be told twice, none is lost.
"""

from scheduler.notifications.feishu import FeishuSender
from scheduler.notifications.notifier import Notifier
from scheduler.notifications.openclaw import OpenClawSender

__all__ = ["FeishuSender", "Notifier", "OpenClawSender"]
