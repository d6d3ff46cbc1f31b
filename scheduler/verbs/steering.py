"""What only operators do: decide, and take a task off its way or back onto it."""

from collections.abc import Callable

from msgspec import Struct

from scheduler.core import deciding, halting
from scheduler.core.change import Change
from scheduler.core.records import Attempt
from scheduler.core.task import Task
from scheduler.verbs import bodies
from scheduler.verbs.asked import Asked
from scheduler.wire import Json, task_json


def decide(asked: Asked[bodies.Decide]) -> Json:
    body = asked.body
    verdict = body.verdict()
    by = body.by or asked.who()
    return _change(
        asked,
        lambda task, attempt: deciding.decide(
            task, attempt, verdict, by=by, reason=body.reason, now=asked.now
        ),
    )


def retry(asked: Asked[bodies.Nothing]) -> Json:
    return _change(asked, lambda task, _: halting.retry(task, who=asked.who(), now=asked.now))


def stop(asked: Asked[bodies.Nothing]) -> Json:
    return _change(asked, lambda task, attempt: halting.stop(task, attempt, who=asked.who(), now=asked.now))


def cancel(asked: Asked[bodies.Cancel]) -> Json:
    reason = asked.body.reason
    return _change(
        asked,
        lambda task, attempt: halting.cancel(task, attempt, reason=reason, who=asked.who(), now=asked.now),
    )


def answer(asked: Asked[bodies.Answer]) -> Json:
    who = asked.body.author or asked.who()
    return _change(asked, lambda task, _: halting.answer(task, asked.body.text, who=who, now=asked.now))


def archive(asked: Asked[bodies.Nothing]) -> Json:
    return _change(asked, lambda task, _: halting.archive(task, who=asked.who(), now=asked.now))


def _change(asked: Asked[Struct], verb: Callable[[Task, Attempt | None], Change]) -> Json:
    return task_json(asked.store.change(asked.task_id, verb, now=asked.now).task)
