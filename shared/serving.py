"""A listening socket of our own, and Hypercorn serving one ASGI app on it inside the caller's nursery.

The socket is ours because of what must be set on it before anybody connects, because a port that is taken
must be one plain line before anything else starts, and because the port chosen for `0` must be known.
"""

import errno
import logging
import resource
import socket
from functools import partial
from typing import Any, Final, cast

import hypercorn.trio
import trio

from shared import connection
from shared.asgi import App, Receive, Scope, Send
from shared.errors import StartError

BACKLOG: Final = 2048
"""Connections that may wait to be accepted: a thousand agents that start at once find room. The kernel caps
it at net.core.somaxconn."""
IDLE_SECONDS: Final = 10.0
"""How long a connection may be silent before a request, and how long the head of a request may take:
Hypercorn has one timer for both. 5 is its default, 75 nginx's; at 10 a dribbled head is gone soon, and a
client that comes back after a longer pause pays one connect on loopback."""
STUCK_SECONDS: Final = 30
"""A client that acknowledges nothing for so long while we have bytes for it is gone (TCP_USER_TIMEOUT)."""
DESCRIPTOR_CEILING: Final = 65_536
"""More descriptors than anybody needs here; some containers have a hard limit of a billion, and macOS says
`infinity` and means less."""
_MACOS_CEILING: Final = 10_240  # OPEN_MAX: what setrlimit accepts there whatever the hard limit says

_WHY: Final = {
    errno.EADDRINUSE: "address already in use",
    errno.EADDRNOTAVAIL: "this machine has no such address",
    errno.EACCES: "permission denied (ports below 1024 belong to root)",
    errno.EAFNOSUPPORT: "this machine does not speak that kind of address",
}


def listen(host: str, port: int, *, backlog: int = BACKLOG) -> socket.socket:
    """A bound, listening TCP socket; port 0 picks a free one (see `address`).

    Raises StartError, exit code 1, with one line that says what is in the way.
    """
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError, OverflowError) as error:
        raise StartError(f"cannot listen on {where}: no such host or address") from error
    # IPv4 first: `localhost` is ::1 first on some machines, and clients there are told 127.0.0.1.
    family, _, _, _, name = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        _set_options(sock)
        sock.bind(name)
        # At once, and not when Hypercorn starts: with SO_REUSEADDR two sockets may be bound to one port as
        # long as none listens, and the second process would learn of the first too late.
        sock.listen(backlog)
    except OSError as error:
        sock.close()
        why = _WHY.get(error.errno or 0) or (error.strerror or str(error)).lower()
        raise StartError(f"cannot listen on {where}: {why}") from error
    return sock


def address(sock: socket.socket) -> tuple[str, int]:
    """Host and port that `sock` is really bound to."""
    host, port = sock.getsockname()[:2]
    return host, port


def raise_descriptor_limit() -> int:
    """Raise the soft limit of open files to the hard one, as far as useful; returns what it is then.

    1,024, the usual soft limit, is 500 streams (one socket to each side). Never lowers it, never fails.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    ceiling = DESCRIPTOR_CEILING if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTOR_CEILING)
    for wanted in (ceiling, min(ceiling, _MACOS_CEILING)):
        if soft == resource.RLIM_INFINITY or wanted <= soft:
            break
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):
            continue
        return wanted
    return soft


async def serve(
    app: App,
    sock: socket.socket,
    *,
    shutdown: trio.Event,
    grace_seconds: float,
    idle_seconds: float = IDLE_SECONDS,
    task_status: trio.TaskStatus[tuple[str, int]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve `app` on `sock`, which belongs to us from here on, until `shutdown` is set and all is quiet.

    Reports the bound address when connections are being served. When `shutdown` is set the listener closes,
    idle connections close, and what is in flight has `grace_seconds` to end; then it is cut, also where the
    client has stopped reading. To answer `draining` to new requests meanwhile, do so before setting it.

    The app sees `http` scopes only. There is no ASGI lifespan: what must run beside the server is its sibling
    in the nursery, where a crash keeps its traceback (trap 11).
    """
    bound = address(sock)
    connection.install()
    config = _config(sock, grace_seconds, idle_seconds)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_cut_at_the_deadline, config, shutdown, grace_seconds)
        server = partial(hypercorn.trio.serve, shutdown_trigger=shutdown.wait, mode="asgi")
        async with trio.open_nursery() as serving:
            await serving.start(server, cast(Any, _without_lifespan(app)), config)
            task_status.started(bound)
        nursery.cancel_scope.cancel()


def _config(sock: socket.socket, grace_seconds: float, idle_seconds: float) -> connection.ServingConfig:
    config = connection.ServingConfig()
    config.bind = [f"fd://{sock.detach()}"]
    config.backlog = BACKLOG
    config.graceful_timeout = grace_seconds
    config.keep_alive_timeout = idle_seconds
    # Hypercorn closes after 1,000 requests by default, against leaks in apps; clients see it as an error now
    # and then, when the close crosses their next request.
    config.keep_alive_max_requests = 10**12
    # 64 kB each: how much of a body may lie unread before the client has to wait.
    config.max_app_queue_size = 4
    # Above the guard's 8 kB of target and 16 kB of headers together, so that it is the guard who answers.
    config.h11_max_incomplete_size = 32 * 1024
    config.read_timeout = None  # it would cut live streams as well as stalled bodies (trap 3)
    config.include_server_header = False
    config.accesslog = None  # one line per request is the app's, and says more
    config.errorlog = logging.getLogger("hypercorn.error")  # no handler of its own: `logs` has the root
    return config


def _set_options(sock: socket.socket) -> None:
    # Accepted sockets inherit all of these.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a restart does not wait out TIME_WAIT
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # each chunk of a stream leaves at once
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; elsewhere the deadline of the drain has to do (trap 2)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STUCK_SECONDS * 1000)
    if sock.family == socket.AF_INET6:
        # `::` means every address, IPv4 too, whatever the machine's default.
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)


async def _cut_at_the_deadline(
    config: connection.ServingConfig, shutdown: trio.Event, grace_seconds: float
) -> None:
    """Close what is left under Hypercorn when its time is up, or when we are cancelled.

    Hypercorn cancels its connections then, but its writes are shielded: without this a client that does not
    read holds the process (trap 2). Closing a socket under a write is how Trio ends one from outside.
    """
    try:
        await shutdown.wait()
        await trio.sleep(grace_seconds)
    finally:
        for stream in list(config.live):
            stream.socket.close()


def _without_lifespan(app: App) -> App:
    async def served(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await app(scope, receive, send)
            return
        # Answered here, because an app that has no lifespan would have to fail to say so, and be logged.
        for stage in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{stage}.complete"})

    return served
