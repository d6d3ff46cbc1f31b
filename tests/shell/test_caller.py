"""Who asks, how urgently, and for how long."""

import math

import pytest

from proxy.body import Body
from proxy.caller import LONGEST_NAME, identify, patience_seconds
from proxy.core.band import Band
from shared.asgi import Headers


def body(**words: str) -> Body:
    return Body(b"", **words)  # type: ignore[arg-type] # words only


@pytest.mark.parametrize(
    ("header", "in_body", "band"),
    [
        (None, None, Band.NORMAL),
        (b"urgent", None, Band.URGENT),
        (b"HIGH", None, Band.HIGH),
        (b" Low ", None, Band.LOW),
        (b"normal", "urgent", Band.NORMAL),
        (b"urgnet", "urgent", Band.NORMAL),
        (b"", "urgent", Band.NORMAL),
        (b"\xff", None, Band.NORMAL),
        (None, "Urgent", Band.URGENT),
        (None, "low", Band.LOW),
        (None, "asap", Band.NORMAL),
    ],
)
def test_the_header_wins_over_the_body_and_an_unknown_word_is_normal(
    header: bytes | None, in_body: str | None, band: Band
) -> None:
    headers = [] if header is None else [(b"x-priority", header)]
    asked = Body(b"", priority=in_body)
    assert identify(headers, asked, max_band=Band.URGENT, nameless="127.0.0.1").band is band


def test_an_agent_is_named_by_header_then_metadata_then_user_then_session_then_key_then_address() -> None:
    headers: Headers = [
        (b"authorization", b"Bearer k"),
        (b"session_id", b"s2"),
        (b"x-session-affinity", b"s1"),
        (b"x-agent-id", b"header"),
    ]
    names = body(agent="metadata", user="user")
    assert identify(headers, names, max_band=Band.URGENT, nameless="1.2.3.4").agent == "header"
    assert identify(headers[:3], names, max_band=Band.URGENT, nameless="1.2.3.4").agent == "metadata"
    assert identify(headers[:3], body(user="user"), max_band=Band.URGENT, nameless="1.2.3.4").agent == "user"
    assert identify(headers[:3], body(), max_band=Band.URGENT, nameless="1.2.3.4").agent == "s1"
    assert identify(headers[:2], body(), max_band=Band.URGENT, nameless="1.2.3.4").agent == "s2"
    assert identify(headers[:1], body(), max_band=Band.URGENT, nameless="1.2.3.4").agent.startswith("key-")
    assert identify([], body(), max_band=Band.URGENT, nameless="1.2.3.4").agent == "1.2.3.4"


def test_the_session_is_kept_beside_the_agents_name() -> None:
    headers = [(b"x-agent-id", b"crab"), (b"x-session-affinity", b"s1"), (b"session_id", b"s2")]
    caller = identify(headers, body(), max_band=Band.URGENT, nameless="")
    assert (caller.agent, caller.session) == ("crab", "s1")


def test_a_key_is_told_apart_and_cannot_be_guessed_from_its_name() -> None:
    one, two = (
        identify(
            [(b"authorization", b"Bearer nvapi-" + key)], body(), max_band=Band.URGENT, nameless=""
        ).agent
        for key in (b"1", b"2")
    )
    assert one != two
    assert "nvapi" not in one
    assert len(one) == len("key-") + 8


def test_long_names_are_cut_and_any_byte_can_be_shown() -> None:
    caller = identify(
        [(b"x-agent-id", b"\xff" * 9000), (b"session_id", b"s" * 9000)],
        body(),
        max_band=Band.URGENT,
        nameless="",
    )
    assert len(caller.agent) == len(caller.session) == LONGEST_NAME
    caller.agent.encode()


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"2500", 2.5),
        (b"0", 0.0),
        (b"-1", math.inf),
        (b"soon", math.inf),
        (b"nan", math.inf),
        (b"1e999", math.inf),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_our_deadline_holds_for_streams_too_and_nonsense_is_none(
    value: bytes, seconds: float, stream: bool
) -> None:
    assert patience_seconds([(b"x-deadline-ms", value)], stream=stream) == seconds


@pytest.mark.parametrize("name", [b"x-stainless-timeout", b"x-stainless-read-timeout"])
def test_the_sdks_timeout_holds_for_answers_in_one_piece_only(name: bytes) -> None:
    assert patience_seconds([(name, b"600")], stream=False) == 600
    assert patience_seconds([(name, b"600")], stream=True) == math.inf


def test_the_shortest_patience_counts() -> None:
    headers = [
        (b"x-deadline-ms", b"9000"),
        (b"x-stainless-timeout", b"7"),
        (b"x-stainless-read-timeout", b"8"),
    ]
    assert patience_seconds(headers, stream=False) == 7
    assert patience_seconds(headers, stream=True) == 9


def test_nobody_is_heard_as_more_urgent_than_it_may_be() -> None:
    urgent = [(b"x-priority", b"urgent")]
    assert identify(urgent, body(), max_band=Band.NORMAL, nameless="x").band is Band.NORMAL
    assert identify([(b"x-priority", b"low")], body(), max_band=Band.NORMAL, nameless="x").band is Band.LOW
