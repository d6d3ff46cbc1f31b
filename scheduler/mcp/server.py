"""The protocol, by its official package: one server for each conversation, which knows who it talks to.

HTTP without sessions: a request is answered by one JSON value, and nothing of it is left when it is over. So
nothing has to be kept, found again, timed out or drained; a client that lost us goes on as if nothing had
been. Measured with OpenClaw 2026.9.6: it asks for a session, gets none, and works.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
import structlog
from mcp import MCPError, types
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

from scheduler.mcp.tools import INSTRUCTIONS, TOOLS, NotDoneError, Question, Speaker, input_schema, question
from scheduler.version import __version__
from scheduler.wire import Json, error_json
from shared.asgi import Message, Receive, Scope, Send

Ask = Callable[[Question], Awaitable[Json]]
"""Asks the board. Raises NotDoneError."""

NAME: Final = "clawpace-board"
_NOT_KEPT: Final = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))
"""An answer may show a claim token."""

_log = structlog.get_logger()
# What it says of a request at INFO is of no use to anybody, and there is one for each.
logging.getLogger("mcp").setLevel(logging.WARNING)


def board_server(ask: Ask, speaker: Speaker) -> "Server[Any]":
    """For one conversation."""

    async def list_tools(_context: object, _params: object) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[_described(name, speaker) for name in TOOLS])

    async def call_tool(_context: object, params: types.CallToolRequestParams) -> types.CallToolResult:
        if params.name not in TOOLS:
            raise MCPError(types.INVALID_PARAMS, f"Unknown tool: {params.name[:100]}")
        try:
            return _result(await ask(question(params.name, params.arguments or {})))
        except NotDoneError as error:
            return _result(error_json(error.code, error.message), is_error=True)
        except Exception as fault:
            _log.error("internal_error", error=type(fault).__name__, tool=params.name, exc_info=fault)
            told = error_json("internal_error", "Something went wrong here; the log says what.")
            return _result(told, is_error=True)

    server: Server[Any] = Server(
        NAME,
        version=__version__,
        title="The board",
        instructions=INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )
    server.middleware.clear()  # traces, for exporters that nobody here has
    return server


def _described(name: str, speaker: Speaker) -> types.Tool:
    tool = TOOLS[name]
    return types.Tool(
        name=name,
        description=tool.about,
        input_schema=input_schema(name, speaker),
        annotations=types.ToolAnnotations(
            read_only_hint=tool.reads, destructive_hint=False, open_world_hint=False
        ),
    )


def _result(answer: Json, *, is_error: bool = False) -> types.CallToolResult:
    """As text alone: OpenClaw shows a model the structured form beside it, and each word twice."""
    text = msgspec.json.encode(answer).decode()
    return types.CallToolResult(content=[types.TextContent(type="text", text=text)], is_error=is_error)


async def answer_request(
    server: "Server[Any]", body: bytes, scope: Scope, receive: Receive, send: Send
) -> None:
    """One POST, whose body has been read already. Everything that it starts has ended when this returns."""
    manager = StreamableHTTPSessionManager(
        server, json_response=True, stateless=True, max_request_body_size=max(1, len(body))
    )
    message: Message | None = {"type": "http.request", "body": body, "more_body": False}

    async def read_already() -> Message:
        nonlocal message
        first, message = message, None
        return await receive() if first is None else first

    async def kept_by_nobody(answer: Message) -> None:
        if answer["type"] == "http.response.start":
            answer["headers"] = [*answer.get("headers", ()), *_NOT_KEPT]
        await send(answer)

    async with manager.run():
        await manager.handle_request(scope, read_already, kept_by_nobody)
