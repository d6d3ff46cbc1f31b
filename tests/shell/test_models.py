"""The list of models: asked for once, kept for a while, and never at the price of a slot if it can be had."""

import json
from collections.abc import Callable

import trio
from trio.testing import MockClock

from proxy.attempt import Stored
from proxy.core.classify import Meaning
from proxy.metrics import Metrics
from proxy.models import RETRY_SECONDS, ModelList, ModelsCache
from proxy.refusals import Refusal
from tests.shell.lanes import Lane, broken
from tests.shell.upstreams import Reply, ScriptedUpstream

MakeLane = Callable[..., Lane]
TTL = 600.0


def listed(*names: str, after: float = 0) -> Reply:
    body = json.dumps({"object": "list", "data": [{"id": name, "extra": 1} for name in names]}).encode()
    return Reply(200, body, after=after)


class Cached:
    """A cache in front of a scripted upstream."""

    def __init__(self, lane: Lane, *script: Reply | Meaning) -> None:
        self.upstream = ScriptedUpstream(*script)
        self.metrics = Metrics()
        self.cache = ModelsCache(self.upstream, lane.gate, self.metrics, ttl_seconds=TTL)

    async def names(self, authorization: bytes | None = None) -> list[str]:
        known = await self.cache.get(authorization)
        assert isinstance(known, ModelList), repr(known)
        return list(known.by_id)

    async def refusal(self, authorization: bytes | None = None) -> Refusal:
        known = await self.cache.get(authorization)
        assert isinstance(known, Refusal), repr(known)
        return known

    @property
    def keys(self) -> list[bytes | None]:
        return [dict(asked.headers).get(b"authorization") for asked in self.upstream.asked]

    def saved(self, how: str) -> float:
        return self.metrics.registry.get_sample_value("sidecar_budget_saved_total", {"how": how}) or 0


async def test_the_list_is_asked_for_once_in_its_time_to_live(
    autojump_clock: MockClock, lane: MakeLane
) -> None:
    models = Cached(lane(), listed("a/b", "c/d"), listed("e/f"))
    for _ in range(5):
        assert await models.names() == ["a/b", "c/d"]
        await trio.sleep(TTL / 5 - 1)
    assert len(models.upstream.asked) == 1
    assert models.saved("models_cache") == 4
    await trio.sleep(5)
    assert await models.names() == ["e/f"]


async def test_it_costs_no_slot_and_no_key(autojump_clock: MockClock, lane: MakeLane) -> None:
    one = lane()
    models = Cached(one, listed("a/b"))
    await models.names(b"Bearer theirs")
    assert models.keys == [None]
    assert one.stamps.told == []


async def test_an_entry_is_kept_as_the_upstream_wrote_it(autojump_clock: MockClock, lane: MakeLane) -> None:
    body = b'{ "data" : [ {"id":"a\\/b" , "n": 1.0} ] }'
    known = await Cached(lane(), Reply(200, body)).cache.get(None)
    assert isinstance(known, ModelList)
    assert (known.body, known.by_id) == (body, {"a/b": b'{"id":"a\\/b" , "n": 1.0}'})


async def test_many_that_ask_at_once_wait_for_one_answer(autojump_clock: MockClock, lane: MakeLane) -> None:
    models = Cached(lane(), listed("a/b", after=3))
    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(models.names)
    assert len(models.upstream.asked) == 1
    assert models.saved("single_flight") == 19


async def test_one_that_leaves_while_it_asks_leaves_the_others_their_answer(
    autojump_clock: MockClock, lane: MakeLane
) -> None:
    models = Cached(lane(), listed("a/b", after=3))
    async with trio.open_nursery() as nursery:
        with trio.move_on_after(1):
            await models.names()
        nursery.start_soon(models.names)
        nursery.start_soon(models.names)
    assert len(models.upstream.asked) == 2


async def test_a_stale_list_is_better_than_none_and_the_upstream_is_left_alone_for_a_while(
    autojump_clock: MockClock, lane: MakeLane
) -> None:
    models = Cached(lane(), listed("a/b"), Meaning.UNREACHABLE, listed("c/d"))
    await models.names()
    await trio.sleep(TTL)
    assert await models.names() == ["a/b"]
    assert await models.names() == ["a/b"]
    assert len(models.upstream.asked) == 2
    await trio.sleep(RETRY_SECONDS)
    assert await models.names() == ["c/d"]


async def test_without_any_list_the_failure_is_told_and_kept_only_shortly(
    autojump_clock: MockClock, lane: MakeLane
) -> None:
    models = Cached(lane(), Meaning.SILENT, Reply(200, b"<html>"), Reply(500, b"{}"), listed("a/b"))
    assert (await models.refusal()).code == "upstream_timeout"
    assert (await models.refusal()).code == "upstream_timeout"
    assert len(models.upstream.asked) == 1
    await trio.sleep(RETRY_SECONDS)
    assert (await models.refusal()).code == "upstream_unreachable"
    await trio.sleep(RETRY_SECONDS)
    stored = await models.cache.get(None)
    assert isinstance(stored, Stored)
    assert (stored.status, stored.body) == (500, b"{}")
    await trio.sleep(RETRY_SECONDS)
    assert await models.names() == ["a/b"]


async def test_an_upstream_that_insists_on_a_key_is_asked_again_with_it_through_the_gate(
    autojump_clock: MockClock, lane: MakeLane
) -> None:
    one = lane()
    models = Cached(one, Reply(401, b"{}"), listed("a/b"))
    assert await models.names(b"Bearer theirs") == ["a/b"]
    assert models.keys == [None, b"Bearer theirs"]
    assert [verb for verb, _ in one.stamps.told] == ["held", "written"]


async def test_without_a_slot_in_time_there_is_no_second_question(
    autojump_clock: MockClock, lane: MakeLane
) -> None:
    one = lane(limit=1)
    (await one.granted()).written()
    models = Cached(one, Reply(401, b"{}"))
    assert (await models.refusal(b"Bearer k")).code == "rate_limited"
    assert models.keys == [None]


async def test_a_question_that_never_left_gives_its_slot_back(
    autojump_clock: MockClock, lane: MakeLane
) -> None:
    one = lane()
    models = Cached(one, Reply(401, b"{}"), Meaning.UNREACHABLE)
    assert (await models.refusal(b"Bearer k")).code == "upstream_unreachable"
    one.assert_empty()


async def test_every_answer_is_closed(autojump_clock: MockClock, lane: MakeLane) -> None:
    replies = [Reply(401, b"{}"), listed("a/b")]
    await Cached(lane(), *replies).names(b"Bearer k")
    assert all(reply.body.closed for reply in replies)


async def test_what_a_clients_key_was_answered_is_not_kept_for_others(
    autojump_clock: MockClock, lane: MakeLane
) -> None:
    models = Cached(lane(limit=9), *(Reply(401, b"{}") for _ in range(3)), listed("a/b"))
    stored = await models.cache.get(b"Bearer wrong")
    assert isinstance(stored, Stored)
    assert await models.names(b"Bearer right") == ["a/b"]


async def test_a_list_that_never_comes_leaves_the_trial_of_a_broken_upstream_to_the_next(
    autojump_clock: MockClock, lane: MakeLane
) -> None:
    one = lane(limit=20)
    await broken(one, Meaning.UNREACHABLE)
    await trio.sleep(5)
    models = Cached(one, Reply(401), Reply(200, after=100))
    assert (await models.refusal(b"Bearer k")).code == "upstream_timeout"
    (await one.granted()).unsent()
