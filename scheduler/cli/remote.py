"""The board over HTTP, with what Python brings along: a client library takes longer to import than to ask.

No proxies, no redirects: the token goes to the address that was named, and nowhere else.
"""

import http.client
import json
import re
import secrets
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode, urlsplit

from scheduler.cli.told import ToldError, wrong_usage
from scheduler.cli.ways import Credentials
from scheduler.core.errors import Code
from scheduler.verbs.outcomes import BUSY, OUTCOMES, UNAVAILABLE

if TYPE_CHECKING:
    from scheduler.cli.upload import Upload

TIMEOUT_SECONDS: Final = 12.0
"""Longer than the board waits for a busy database, so that its own answer arrives."""
SOON_SECONDS: Final = 3.0
"""For what can be left out."""
SILENCE_SECONDS: Final = 60.0
"""Of a stream of events; the server says something every 15 s."""
_LONGEST_LINE_BYTES: Final = 16 * 1024 * 1024
_MOST_ANSWER_BYTES: Final = 256 * 1024 * 1024
_TASKS: Final = "/api/blackboard/tasks"
_HOST: Final = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+")

_EXIT_BY_STATUS: Final = {400: 2, 401: 4, 403: 4, 404: 3, 409: 4, 413: 2, 415: 2, 422: 2, 503: 5}
"""For words that the board's own table lacks."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where the scheduler listens."""

    https: bool
    host: str
    port: int
    path: str

    @classmethod
    def of(cls, url: str) -> "Address":
        """Raises ToldError for what is no address."""
        try:
            parts = urlsplit(url.strip())
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        host = parts.hostname or ""
        extra = parts.query or parts.fragment or "@" in parts.netloc
        if (
            parts.scheme not in {"http", "https"}
            or not _HOST.fullmatch(host)
            or extra
            or not url.isprintable()
        ):
            raise wrong_usage("an address is http://HOST:PORT, without user, password and query")
        https = parts.scheme == "https"
        default = 443 if https else 80
        return cls(https, host, default if port is None else port, quote(parts.path.rstrip("/"), safe="/%"))

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.https else 'http'}://{host}:{self.port}{self.path}"


class RemoteBoard:
    """`given_token`: the admin token that whoever asks has named, `found_token` finds one that lies about.

    The second is shown only where one is needed: reading on this machine goes without, and must not fail
    because an old one is lying there.
    """

    def __init__(
        self, address: Address, given_token: str | None, found_token: Callable[[], str | None]
    ) -> None:
        self._address = address
        self._given_token = given_token
        self._found_token = found_token

    def ask(
        self,
        verb: str,
        task: str | None,
        body: Mapping[str, object],
        credentials: Credentials,
        *,
        upload: "Upload | None" = None,
    ) -> Any:
        method, path = _endpoint(verb, task, body)
        headers = {"Accept": "application/json", **self._authorization(verb, credentials)}
        content: bytes | Iterator[bytes] | None = None
        if upload is not None:
            headers |= _form_headers(boundary := secrets.token_hex(16))
            start, end = _form(boundary, body, upload)
            headers["Content-Length"] = str(len(start) + upload.size_bytes + len(end))
            content = _around(start, upload.pieces(), end)
        elif method != "GET":
            headers["Content-Type"] = "application/json"
            content = json.dumps(body).encode()
        try:
            return self._exchange(method, path, content, headers)
        except ToldError as error:
            if error.code == Code.NOT_FOUND and not self._has_tasks():
                raise self._no_board(404) from error
            raise

    def _has_tasks(self) -> bool:
        """The sidecar too calls a path not found, in our own words; but every board has a list of tasks."""
        try:
            self._exchange("GET", f"{_TASKS}?limit=1", None, {"Accept": "application/json"})
        except ToldError as error:
            return error.code != Code.NOT_FOUND
        return True

    def output_places(self, card: Mapping[str, Any]) -> list[str]:
        """By name; one that another of the same name has come after, by its number."""
        names = [output["name"] for output in card["outputs"]]
        at = f"{self._address}{_TASKS}/{quote(card['id'], safe='')}/outputs"
        return [
            f"{at}/{number if name in names[number:] else quote(name, safe='')}"
            for number, name in enumerate(names, start=1)
        ]

    def short_output(
        self, card: Mapping[str, Any], index: int, most: int, credentials: Credentials
    ) -> bytes | None:
        path = f"{_TASKS}/{quote(card['id'], safe='')}/outputs/{index + 1}"
        with (
            suppress(ToldError),  # the card itself has been read, and is worth showing
            self._sent("GET", path, None, self._authorization("read", credentials), SOON_SECONDS) as response,
        ):
            content = response.read(most + 1)
            return content if response.status == 200 and len(content) <= most else None
        return None

    def changes(self, credentials: Credentials) -> Iterator[list[Mapping[str, Any]]]:
        """As the server sends them; a comment now and then says that it is there."""
        headers = {"Accept": "text/event-stream", **self._authorization("read", credentials)}
        with self._sent("GET", "/api/events", None, headers, SILENCE_SECONDS) as response:
            if response.status != 200:
                self._understood(response.status, response.read(_MOST_ANSWER_BYTES + 1))
            while line := response.readline(_LONGEST_LINE_BYTES):
                if line.startswith(b"data:"):
                    with suppress(ValueError):
                        yield [json.loads(line.removeprefix(b"data:"))]
        raise ToldError(UNAVAILABLE, f"the board at {self._address} has ended the stream of events", 5)

    def _authorization(self, verb: str, credentials: Credentials) -> dict[str, str]:
        claim = credentials.claim_for(verb)
        token = str(claim) if claim else self._given_token
        if token is None and verb not in {"list", "read"}:
            token = self._found_token()
        if token is None and credentials.claim is not None:
            token = str(credentials.claim)
        if token is None:
            return {}
        if not re.fullmatch(r"[!-~]+", token):
            raise wrong_usage("the admin token has characters that no token has")
        return {"Authorization": f"Bearer {token}"}

    def _exchange(
        self, method: str, path: str, content: bytes | Iterator[bytes] | None, headers: Mapping[str, str]
    ) -> Any:
        with self._sent(method, path, content, headers, TIMEOUT_SECONDS) as response:
            answer = response.read(_MOST_ANSWER_BYTES + 1)
            return self._understood(response.status, answer)

    @contextmanager
    def _sent(
        self,
        method: str,
        path: str,
        content: bytes | Iterator[bytes] | None,
        headers: Mapping[str, str],
        timeout_seconds: float,
    ) -> Iterator[http.client.HTTPResponse]:
        """One request on a connection of its own, and the head of its answer."""
        address = self._address
        kind = http.client.HTTPSConnection if address.https else http.client.HTTPConnection
        connection = kind(address.host, address.port, timeout=timeout_seconds)
        try:
            self._connect(connection)
            # A server that refuses an upload answers before it has read it: sending breaks off, and the
            # answer is there nevertheless.
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.request(method, address.path + path, content, dict(headers))
            yield connection.getresponse()
        except TimeoutError as error:
            raise ToldError(
                BUSY,
                f"{address} did not answer within {timeout_seconds:.0f} s; look before you repeat it",
                75,
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise self._away(error) from error
        finally:
            connection.close()

    def _connect(self, connection: http.client.HTTPConnection) -> None:
        """Apart, because here a time-out means that nothing was asked yet."""
        try:
            connection.connect()
        except OSError as error:
            raise self._away(error) from error

    def _understood(self, status: int, answer: bytes) -> Any:
        try:
            value = json.loads(answer) if len(answer) <= _MOST_ANSWER_BYTES else None
        except (ValueError, RecursionError):
            value = None
        if 200 <= status < 300 and isinstance(value, dict) and value.keys() & {"id", "tasks"}:
            return value
        error = value.get("error") if isinstance(value, dict) else None
        if not isinstance(error, dict) or not isinstance(error.get("code"), str):
            raise self._no_board(status)
        code = error["code"]
        exit_code = OUTCOMES[code].exit_code if code in OUTCOMES else _EXIT_BY_STATUS.get(status, 1)
        raise ToldError(code, str(error.get("message", "")), exit_code)

    def _no_board(self, status: int) -> ToldError:
        return ToldError(
            UNAVAILABLE,
            f"something answers at {self._address} (status {status}), but that is no agent-scheduler",
            5,
        )

    def _away(self, error: Exception) -> ToldError:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        if isinstance(error, socket.gaierror):
            why = "no such host"
        return ToldError(
            UNAVAILABLE,
            f"the board cannot be reached at {self._address}: {why or type(error).__name__}; "
            "does agent-scheduler run there?",
            5,
        )


def _endpoint(verb: str, task: str | None, body: Mapping[str, object]) -> tuple[str, str]:
    at = f"{_TASKS}/{quote(task or '', safe='')}"
    match verb:
        case "create":
            return "POST", _TASKS
        case "list":
            return "GET", f"{_TASKS}?{urlencode(_query(body), doseq=True)}"
        case "read":
            return "GET", f"{at}?{urlencode(_query(body), doseq=True)}"
        case "set":
            return "PATCH", at
        case "claim-next":
            return "POST", f"{_TASKS}/next/claim"
        case _:
            return "POST", f"{at}/{verb}"


def _query(body: Mapping[str, object]) -> dict[str, object]:
    return {name: int(value) if isinstance(value, bool) else value for name, value in body.items()}


def _form_headers(boundary: str) -> dict[str, str]:
    return {"Content-Type": f"multipart/form-data; boundary={boundary}"}


def _form(boundary: str, body: Mapping[str, object], upload: "Upload") -> tuple[bytes, bytes]:
    """What stands before the file and after it. Fields as in the JSON body; `file` is the last part."""
    parts = []
    for name, value in body.items():
        text = str(value).lower() if isinstance(value, bool) else str(value)
        parts.append(f'--{boundary}\r\ncontent-disposition: form-data; name="{name}"\r\n\r\n{text}\r\n')
    file_name = quote(upload.name or "output", safe=" ")
    parts.append(
        f'--{boundary}\r\ncontent-disposition: form-data; name="file"; filename="{file_name}"\r\n'
        "content-type: application/octet-stream\r\n\r\n"
    )
    return "".join(parts).encode(), f"\r\n--{boundary}--\r\n".encode()


def _around(start: bytes, pieces: Iterator[bytes], end: bytes) -> Iterator[bytes]:
    yield start
    yield from pieces
    yield end
