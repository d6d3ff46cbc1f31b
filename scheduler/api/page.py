"""`GET /`: what this port is, for a person who opens it in a browser. Every word in it is ours."""

from typing import Final

from scheduler.version import __version__
from shared.answers import answer
from shared.asgi import Receive, Scope, Send

_HEADERS: Final = [
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
]

_PAGE: Final = f"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>Clawpace: the board</title></head>
<body>
<h1>Clawpace: the board</h1>
<p>This is the agent scheduler {__version__}. It is used from the command line and over HTTP.</p>
<ul>
<li><a href="/health">/health</a>: is it well?</li>
<li><a href="/api/daemon/status">/api/daemon/status</a>: what is it doing?</li>
<li><a href="/api/blackboard/tasks">/api/blackboard/tasks</a>: the tasks</li>
<li><a href="/api/events">/api/events</a>: what happens, as it happens</li>
<li><a href="/openapi.json">/openapi.json</a>: all of it, described</li>
</ul>
<pre>blackboard list
blackboard create --title "What is to be done"
blackboard read T-0001
blackboard watch</pre>
</body>
</html>
"""


async def page(_scope: Scope, _receive: Receive, send: Send) -> None:
    """The page, as an answer."""
    await answer(send, 200, _PAGE.encode(), b"text/html; charset=utf-8", _HEADERS)
