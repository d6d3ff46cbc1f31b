"""Tells somebody through one of OpenClaw's channels: ``openclaw message send``.

Measured on 2026.9.6: the command takes seven seconds of a core, and whatever goes wrong is a ``cli_error``, a
gateway that does not run as well as a channel that does not exist. So its words decide; what they do not
settle is tried again. OpenClaw, too, tries again what a channel did not take: it may arrive twice.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from scheduler.gateway import Answer, GatewayError, OpenClawError
from scheduler.notifications.letters import Letter, cut
from scheduler.notifications.outcomes import Later, Never, Outcome, Told
from scheduler.roster import OpenClawTarget

TEXT_BYTES: Final = 16_000
"""Of a letter. Channels take 2,000 to 4,096 characters at a time, and OpenClaw sends more in pieces; the
operating system takes 131,071 bytes in one argument."""

# Nobody who tries again will be told anything else. The ways are measured, or stand in the command's source.
_FINAL: Final = re.compile(
    r"unknown (channel|target|recipient)|channel is unavailable|unsupported channel|invalid target"
    r"|chat not found|channel_not_found|user not found|bot was blocked|unknown option",
    re.IGNORECASE,
)


class Asks(Protocol):
    """A `Gateway`, as far as it is needed here."""

    @property
    def ask(self) -> Callable[..., Awaitable[Answer]]:
        """Raises OpenClawError."""
        ...


class OpenClawSender:
    """Holds nothing of its own."""

    def __init__(self, gateway: Asks) -> None:
        self._gateway = gateway

    async def send(self, target: OpenClawTarget, letter: Letter) -> Outcome:
        """Does not raise for anything that OpenClaw does."""
        try:
            await self._gateway.ask(
                *("message", "send", "--channel", target.channel, "--target", target.target),
                *("--message", _argument(letter.text)),
            )
        except OpenClawError as error:
            refused = isinstance(error, GatewayError) and _FINAL.search(str(error))
            return Never(str(error)) if refused else Later(str(error))
        return Told()

    def __repr__(self) -> str:
        return "<OpenClawSender>"


def _argument(text: str) -> str:
    """As an argument that is none of the command's options, and that an operating system takes."""
    clean = text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
    return cut(f" {clean}" if clean.startswith("-") else clean, TEXT_BYTES)
