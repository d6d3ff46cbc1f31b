"""What agents do: claim, and write on what they have claimed. Operators may do it in their place."""

import base64
import binascii
from collections.abc import Callable
from typing import TYPE_CHECKING

from scheduler.blackboard.queries import Claimed
from scheduler.core import claims, halting
from scheduler.core import holding as rules
from scheduler.core.change import Change
from scheduler.core.errors import Code, Refused
from scheduler.core.records import Attempt
from scheduler.core.states import Status
from scheduler.core.task import Task
from scheduler.verbs import bodies
from scheduler.verbs.asked import Asked
from scheduler.verbs.callers import Holder
from scheduler.wire import Json, claim_json, output_json, task_json

if TYPE_CHECKING:
    from scheduler.blackboard.artifacts import Received

DEFAULT_NAME = "output.md"
"""Of an output that came without one."""


def claim(asked: Asked[bodies.ClaimIt]) -> Json:
    return _claimed(
        asked.store.claim(asked.task_id, agent=_agent(asked), now=asked.now, lease_seconds=asked.body.ttl)
    )


def claim_next(asked: Asked[bodies.ClaimIt]) -> Json:
    """Whatever may be claimed, the most urgent first."""
    return _claimed(asked.store.claim_next(agent=_agent(asked), now=asked.now, lease_seconds=asked.body.ttl))


def _claimed(claimed: Claimed) -> Json:
    return claim_json(claimed.task, claimed.token)


def _agent(asked: Asked[bodies.ClaimIt]) -> str:
    """Under a claim: the agent that holds it, and nobody else."""
    named = asked.body.agent
    if isinstance(asked.caller, Holder):
        token = asked.caller.token
        own = claims.holder(asked.store.task(token.task), token, asked.now)
        if named not in {None, own}:
            raise Refused(Code.FORBIDDEN, f"this claim token is {own}'s: it claims for nobody else")
        return own
    if named is None:
        raise Refused(Code.INVALID, "agent: who claims?")
    return named


def release(asked: Asked[bodies.Because]) -> Json:
    def verb(task: Task, attempt: Attempt | None) -> Change:
        return rules.release(task, attempt, reason=asked.body.reason, who=asked.who(task), now=asked.now)

    return _change(asked, verb)


def heartbeat(asked: Asked[bodies.Heartbeat]) -> Json:
    body = asked.body

    def verb(task: Task, attempt: Attempt | None) -> Change:
        if not task.held and task.status is not Status.REVIEW:
            raise Refused(Code.ILLEGAL_TRANSITION, f"{task.id} is {task.status}: nobody is at work on it")
        return rules.heartbeat(
            task,
            attempt,
            turn=body.turn,
            note=body.note,
            waiting_for=body.waiting_for,
            who=asked.who(task),
            now=asked.now,
        )

    return _change(asked, verb)


def hand_in(asked: Asked[bodies.HandIn]) -> Json:
    """A file that has come already, or one that is made here of the text; the same from there on."""
    body = asked.body
    if (body.text is not None, body.content_base64 is not None, asked.received is not None).count(True) != 1:
        raise Refused(Code.INVALID, "output: exactly one of text, content_base64 and a file")
    if asked.received is not None:
        return _handed_in(asked, asked.received)
    content = body.text.encode() if body.text is not None else _decoded(body.content_base64 or "")
    with asked.store.receiver() as receiver:
        receiver.write(content)
        return _handed_in(asked, receiver.finish())


def _handed_in(asked: Asked[bodies.HandIn], received: "Received") -> Json:
    body = asked.body
    change, output = asked.store.hand_in(
        asked.task_id,
        received,
        name=DEFAULT_NAME if body.name is None else body.name,
        final=body.final,
        now=asked.now,
        author=asked.who(),
        token=asked.token,
    )
    return {**task_json(change.task), "output": output_json(output)}


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refused(Code.INVALID, "content_base64: that is not base64") from error


def comment(asked: Asked[bodies.Say]) -> Json:
    return _say(asked, rules.comment)


def observe(asked: Asked[bodies.Say]) -> Json:
    return _say(asked, rules.observe)


def _say(asked: Asked[bodies.Say], rule: Callable[..., Change]) -> Json:
    """Under a claim its holder speaks, in no other name; an operator may write in that name too."""
    named = asked.body.author

    def verb(task: Task, attempt: Attempt | None) -> Change:
        author = named or asked.who(task)
        if asked.token is not None and author != task.claimant:
            raise Refused(Code.FORBIDDEN, f"this claim token is {task.claimant}'s: it speaks for nobody else")
        held = task.held and author == task.claimant
        return rule(task, attempt, asked.body.text, author=author, held=held, now=asked.now)

    return _change(asked, verb)


def block(asked: Asked[bodies.Because]) -> Json:
    def verb(task: Task, attempt: Attempt | None) -> Change:
        return halting.block(task, attempt, reason=asked.body.reason, who=asked.who(task), now=asked.now)

    return _change(asked, verb)


def fail(asked: Asked[bodies.Because]) -> Json:
    def verb(task: Task, attempt: Attempt | None) -> Change:
        return halting.fail(task, attempt, reason=asked.body.reason, who=asked.who(task), now=asked.now)

    return _change(asked, verb)


def _change(asked: Asked[bodies.Written], verb: Callable[[Task, Attempt | None], Change]) -> Json:
    return task_json(asked.store.change(asked.task_id, verb, token=asked.token, now=asked.now).task)
