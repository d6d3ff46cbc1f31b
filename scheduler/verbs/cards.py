"""What concerns cards as such: making, listing, reading and changing them."""

from typing import Final

from msgspec import UNSET

from scheduler.blackboard.queries import TaskQuery
from scheduler.core.errors import Code, Refused
from scheduler.core.task import Draft, Priority
from scheduler.verbs import bodies
from scheduler.verbs.asked import Asked
from scheduler.wire import Json, parse_time, task_json, thread_json

_PRIORITIES: Final = {priority.word: priority for priority in Priority}


def create(asked: Asked[bodies.Create]) -> Json:
    body = asked.body
    draft = Draft(
        title=body.title,
        description=body.description,
        priority=_PRIORITIES[body.priority],
        creator=body.creator or asked.who(),
        assignee=body.assignee,
        depends_on=_once(body.depends_on),
        source=body.source,
        external_id=body.external_id,
        risk_tools=_once(body.risk_tools),
        expects=_once(body.expects),
        review=body.review,
        max_attempts=body.max_attempts or asked.max_attempts,
        max_turns=body.max_turns,
        not_before=_moment(body.not_before),
    )
    return task_json(asked.store.create(draft, who=asked.who(), now=asked.now))


def revise(asked: Asked[bodies.Set]) -> Json:
    """`set`: the fields that are given, and no others."""
    fields = {
        name: value
        for name in asked.body.__struct_fields__
        if (value := getattr(asked.body, name)) is not UNSET
    }
    if not fields:
        raise Refused(Code.INVALID, f"nothing to set: {', '.join(asked.body.__struct_fields__)}")
    for name in fields.keys() & {"depends_on", "risk_tools", "expects"}:
        fields[name] = _once(fields[name])
    if "priority" in fields:
        fields["priority"] = _PRIORITIES[fields["priority"]]
    if "not_before" in fields:
        fields["not_before"] = _moment(fields["not_before"])
    return task_json(asked.store.revise(asked.task_id, fields, who=asked.who(), now=asked.now))


def list_tasks(asked: Asked[bodies.List]) -> Json:
    """One page, and where the next one begins."""
    body = asked.body
    page = asked.store.tasks(
        TaskQuery(
            statuses=body.status,
            assignee=body.assignee,
            claimable_at=asked.now if body.claimable else None,
            archived=body.archived,
            limit=body.limit,
            cursor=body.cursor,
        )
    )
    return {"tasks": [task_json(task) for task in page.tasks], "next_cursor": page.next_cursor}


def read(asked: Asked[bodies.Read]) -> Json:
    """The card; in full, with all that stands beside it."""
    card = task_json(asked.store.task(asked.task_id))
    return card | thread_json(asked.store.thread(asked.task_id)) if asked.body.full else card


def _once(entries: tuple[str, ...]) -> tuple[str, ...]:
    """Said twice is said once; the order stays."""
    return tuple(dict.fromkeys(entries))


def _moment(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return parse_time(text)
    except ValueError as error:
        raise Refused(Code.INVALID, f"not_before: {error}") from error
