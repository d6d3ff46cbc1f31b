"""Tells a group of Feishu through its custom bot.

The rule: the bot's address is as good as a key, so no error and no line of the log holds it; what went wrong
is said in words of our own. One message at a time and bot, no faster than it may be spoken to.
"""

from ssl import SSLContext, create_default_context
from typing import Final

import httpx
import trio

from scheduler.notifications.feishu_wire import body, verdict
from scheduler.notifications.letters import Letter
from scheduler.notifications.outcomes import Later, Never, Outcome
from scheduler.notifications.pace import Pace
from scheduler.roster import FeishuTarget
from shared import clock

ANSWER_SECONDS: Final = 10.0
"""From connecting to the last byte."""
LONGEST_ANSWER_BYTES: Final = 64 * 1024


class FeishuSender:
    """Owner of the connections to all bots, and of how fast each was spoken to."""

    def __init__(self, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        """`transport` replaces the network, for tests."""
        self._transport = transport
        # Made when it is needed first: most teams have no bot, and reading certificates takes 100 ms.
        self._client: httpx.AsyncClient | None = None
        self._making = trio.Lock()
        self._paces: dict[str, Pace] = {}

    async def send(self, target: FeishuTarget, letter: Letter) -> Outcome:
        """When the bot may be spoken to again. Does not raise for anything that Feishu does."""
        address, secret = target.webhook.get_secret_value(), target.secret.get_secret_value()
        pace = self._paces.setdefault(address, Pace())
        await trio.sleep_until(pace.free_at(trio.current_time()))
        client = await self._connected()
        content = body(letter, timestamp=int(clock.wall()), secret=secret)
        try:
            status, answer = await _post(client, address, content)
        except (trio.TooSlowError, httpx.TimeoutException):
            return Later(f"Feishu did not answer within {ANSWER_SECONDS:g} s")
        except httpx.ConnectError:
            return Later("Feishu cannot be reached")
        except (httpx.InvalidURL, httpx.UnsupportedProtocol):
            return Never("the address of the bot is no web address")
        except httpx.HTTPError as error:
            # Never the text: it may hold the address.
            return Later(f"Feishu did not answer properly ({type(error).__name__})")
        finally:
            pace.sent(trio.current_time())
        return verdict(status, answer, hide=(address, address.rpartition("/")[2], secret))

    async def aclose(self) -> None:
        """Close what is still open."""
        if self._client is not None:
            await self._client.aclose()

    async def _connected(self) -> httpx.AsyncClient:
        async with self._making:
            if self._client is None:
                self._client = await self._make()
            return self._client

    async def _make(self) -> httpx.AsyncClient:
        tls: SSLContext | bool = True
        if self._transport is None:
            tls = await trio.to_thread.run_sync(create_default_context)
        return httpx.AsyncClient(
            transport=self._transport,
            verify=tls,
            trust_env=False,
            follow_redirects=False,  # the address is the bot's; what it points to elsewhere is nobody's
            timeout=ANSWER_SECONDS,
            limits=httpx.Limits(max_keepalive_connections=0),
        )

    def __repr__(self) -> str:
        return f"<FeishuSender, {len(self._paces)} bots>"


async def _post(client: httpx.AsyncClient, address: str, content: bytes) -> tuple[int, bytes]:
    """Status and beginning of the answer. Raises httpx's errors, and TooSlowError."""
    answer = bytearray()
    headers = {"content-type": "application/json; charset=utf-8", "accept-encoding": "identity"}
    with trio.fail_after(ANSWER_SECONDS):
        async with client.stream("POST", address, content=content, headers=headers) as response:
            async for chunk in response.aiter_raw():
                # What is longer is read to its end and not kept: to leave the loop would abandon the HTTP
                # client's generators half-way. An endless one ends with its time.
                if len(answer) < LONGEST_ANSWER_BYTES:
                    answer += chunk
            return response.status_code, bytes(answer)
