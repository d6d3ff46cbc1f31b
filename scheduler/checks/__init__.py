"""Whether an output is what its task expects.

The rule: an output is a stranger's, and so may be the expectation. Regular expressions, JSON and schemas are
looked at in a process of their own (`child`), with a limit of time and of memory, and commands in theirs; the
daemon itself opens no output. What is wrong is a finding, and the same fault is said in the same words every
time, because the same finding twice is a question for a person.
"""

from scheduler.checks.run import ChecksError, Finding, OutputFile, run_checks

__all__ = ["ChecksError", "Finding", "OutputFile", "run_checks"]
