"""What can be asked of the board, in one shape: HTTP, the command line and MCP carry questions and answers.

A question is a verb, a task's id, a body and a caller; the answer is JSON. `perform` reads the body
(`bodies`), looks whether this caller may (`callers`, `table`), and lets the store carry the rule out in one
transaction. It returns the answer, or raises Refused or BoardError, for which `outcomes` has the words; then
nothing has changed. A claim token in a body speaks louder than the caller: whoever shows one acts under its
fence.
"""

from scheduler.verbs.callers import Caller, Holder, Operator, Reader
from scheduler.verbs.outcomes import OUTCOMES, Failure, Outcome, failure
from scheduler.verbs.table import NEXT, VERBS, perform

__all__ = [
    "NEXT",
    "OUTCOMES",
    "VERBS",
    "Caller",
    "Failure",
    "Holder",
    "Operator",
    "Outcome",
    "Reader",
    "failure",
    "perform",
]
