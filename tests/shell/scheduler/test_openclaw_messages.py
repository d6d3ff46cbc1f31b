"""Telling somebody through OpenClaw: what its command is asked, and what its answers mean."""

import pytest

from scheduler.gateway import Answer, AnswerLostError, GatewayDownError, GatewayError, OpenClawError
from scheduler.notifications import OpenClawSender
from scheduler.notifications.openclaw import TEXT_BYTES
from scheduler.notifications.outcomes import Later, Never, Outcome, Told
from scheduler.roster import OpenClawTarget
from tests.core.scheduler.test_feishu_wire import a_letter

TARGET = OpenClawTarget("telegram", "-100123")


class Gateway:
    """Notes what it is asked."""

    def __init__(self, error: OpenClawError | None = None) -> None:
        self.asked: list[tuple[str, ...]] = []
        self._error = error

    async def ask(self, *arguments: str) -> Answer:
        self.asked.append(arguments)
        if self._error is not None:
            raise self._error
        return {"action": "send"}


async def asked(text: str) -> tuple[str, ...]:
    gateway = Gateway()
    assert await OpenClawSender(gateway).send(TARGET, a_letter(text)) == Told()
    (arguments,) = gateway.asked
    return arguments


async def test_the_command_is_given_channel_target_and_message() -> None:
    assert await asked("hello; rm -rf /") == (
        *("message", "send", "--channel", "telegram", "--target", "-100123"),
        *("--message", "hello; rm -rf /"),
    )


async def test_a_text_is_never_an_option_of_the_command() -> None:
    for text in ("--dry-run", "-", "-m x"):
        assert (await asked(text))[-1] == f" {text}"


async def test_a_text_is_always_an_argument_that_the_operating_system_takes() -> None:
    assert (await asked("a\0b\ud83d"))[-1] == "a\N{REPLACEMENT CHARACTER}b?"
    message = (await asked("汉" * 100_000))[-1]
    assert len(message.encode()) <= TEXT_BYTES
    assert message.endswith("(cut: too long for one message)")


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        # As 2026.9.6 says it.
        (
            GatewayError('Unknown channel "nosuch". Run `openclaw channels list --all` to see', final=True),
            Never,
        ),
        (GatewayError("Channel is unavailable: slack", final=True), Never),
        (GatewayError("OutboundDeliveryError: 400: Bad Request: chat not found", final=True), Never),
        (GatewayError("Gateway not reachable at ws://127.0.0.1:39871 (ECONNREFUSED).", final=True), Later),
        (GatewayError("OutboundDeliveryError: Network request for 'sendMessage' failed!", final=True), Later),
        (GatewayError("gateway message.action requires credentials", final=True), Later),
        (GatewayDownError("openclaw is not there: no such file or directory"), Later),
        (AnswerLostError("openclaw did not end within 30 s"), Later),
        (AnswerLostError("no JSON but exit code 0 and: Unknown channel"), Later),
    ],
)
async def test_what_may_work_another_time_is_tried_again(
    error: OpenClawError, outcome: type[Outcome]
) -> None:
    said = await OpenClawSender(Gateway(error)).send(TARGET, a_letter())
    assert said == outcome(str(error))  # type: ignore[call-arg]  # neither is Told


def test_it_has_a_name() -> None:
    assert repr(OpenClawSender(Gateway())) == "<OpenClawSender>"
