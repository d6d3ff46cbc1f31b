"""Which requests may go on: under what name they come, from whom, and what they look like.

Loopback is not a fence. Any page in a browser on this machine can send requests to 127.0.0.1, under a name of
its own choosing (DNS rebinding), and any program can send bytes that two HTTP parsers read differently. What
gets past this file came under a name that is ours, from no foreign page, in a form that leaves no choice.

A decision is a function of the scope; ``guard`` acts on it. The checks, in this order; the first that
fails answers, and h11 has answered before for what is not HTTP at all:

 1. version    not HTTP/1.0 or 1.1: 505 (HTTP/2 in clear text ends here too, where a server lets it through)
 2. method     CONNECT, TRACE: 405; not a token, or absurdly long: 501. Any other method is the app's business
 3. target     8,000 bytes or more: 414
 4. target     absolute-form, `*`, `//…`, dot segments and what decodes to them, encoded control characters
               and backslashes, raw bytes outside printable ASCII: 400. Two readers of such a path see two
               different paths, and one of them may be a server that has our key (CVE-2026-48710 was one).
               `%2F` between two ordinary characters is not among them: the OpenAI SDK asks for a model as
               `/v1/models/meta%2Fllama-3.1-8b`
 5. headers    more than 100, or more than 16 kB: 431
 6. framing    Content-Length beside Transfer-Encoding, Transfer-Encoding in HTTP/1.0: 400 (RFC 9112, 6.1:
               "ought to be handled as an error"; h11 lets both through)
 7. upgrade    to WebSocket: 400, there is none here. Any other is ignored, as RFC 9110, 7.8 allows
 8. host       none or several: 400; not one of ours: 403 `forbidden_host`. The port is not compared, so that
               `ssh -L` works
 9. origin     present and not exactly this host, or Sec-Fetch-Site says cross-site: 403 `forbidden_origin`.
               No CORS header is sent by anybody, so nothing that slips through can be read by a page
10. encoding   a compressed request body: 415
"""

import ipaddress
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from shared.asgi import Headers, Scope

TARGET_LIMIT_BYTES: Final = 8_000
"""RFC 9112, 3 recommends supporting at least 8,000 octets in a request line; nothing of ours comes near."""
HEADERS_LIMIT_BYTES: Final = 16 * 1024
"""Names and values together. nginx and Node allow 8 to 16 kB."""
HEADERS_LIMIT: Final = 100
METHOD_LIMIT_BYTES: Final = 32
HOST_CACHE_SIZE: Final = 64
"""Accepted Host values remembered. Clients use two or three; the bound is for those that try all ports."""

_ALLOW: Final = (b"allow", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
_COMMON_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2

# A path that needs no further look: plain segments that begin with no dot, each after one slash.
_PLAIN_PATH: Final = re.compile(rb"(?:/[A-Za-z0-9_~:@!$&'()*+,;=-][A-Za-z0-9_~:@!$&'()*+,;=.-]*)+/?|/")
_SLASH: Final = rb"(?:/|%2[fF])"
_BAD_PATH: Final = re.compile(
    rb"^(?!/)"  # absolute-form, `*`, nothing
    rb"|^//"  # reads as a host to everything that joins URLs
    rb"|[^!-~]|[\\#]"  # raw control, space, non-ASCII; a backslash is a slash to browsers; a fragment
    rb"|%(?![0-9a-fA-F]{2})"  # not an escape: decoders disagree about what it is
    # Dot, backslash, control and DEL, encoded once or more often. A dot never needs to be.
    rb"|%(?:25)*(?:2[eE]|5[cC]|[01][0-9a-fA-F]|7[fF])"
    rb"|%(?:25)+2[fF]"  # an encoded slash encoded again
    rb"|" + _SLASH + rb"\.{1,2}(?:" + _SLASH + rb"|$)"  # dot segments, whatever their slashes look like
    rb"|" + _SLASH + rb"%2[fF]|%2[fF](?:/|$)",  # an encoded slash that makes an empty segment
)
_BAD_QUERY: Final = re.compile(rb"[^!-~]|#")

# RFC 9110, 7.2: uri-host [ ":" port ], without the forms that no name of ours has. A bare colon is refused.
_HOST: Final = re.compile(rb"(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9._-]{1,255}))(?::([0-9]{1,5}))?")

_WATCHED: Final = frozenset(
    {
        b"host",
        b"origin",
        b"sec-fetch-site",
        b"content-length",
        b"transfer-encoding",
        b"content-encoding",
        b"upgrade",
    }
)

CLOSE: Final = ((b"connection", b"close"),)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request goes no further, and how it is answered."""

    status: int
    code: str
    message: str
    headers: tuple[tuple[bytes, bytes], ...] = ()


_BAD_VERSION = Refusal(505, "invalid_request", "This port speaks HTTP/1.1 only.", CLOSE)
_BAD_METHOD = Refusal(405, "invalid_request", "This method is not served here.", (_ALLOW, *CLOSE))
_ODD_METHOD = Refusal(501, "invalid_request", "This is not a method we know.", CLOSE)
_LONG_TARGET = Refusal(414, "invalid_request", "The address of the request is 8,000 bytes or longer.")
_BAD_TARGET = Refusal(
    400,
    "invalid_request",
    "The address of the request must be a plain path: one leading slash, no dot segments, nothing hidden in "
    "escapes.",
)
_BIG_HEADERS = Refusal(
    431, "invalid_request", "The request has more than 100 headers or 16 kB of them.", CLOSE
)
_BAD_FRAMING = Refusal(
    400, "invalid_request", "The request does not say in one way how long its body is.", CLOSE
)
_NO_UPGRADE = Refusal(400, "invalid_request", "There is no WebSocket here.", CLOSE)
_NO_HOST = Refusal(400, "invalid_request", "The request must have exactly one Host header.")
_BAD_HOST = Refusal(
    403,
    "forbidden_host",
    "This port does not answer under that host name. A name used on purpose belongs into allowed_hosts.",
)
_BAD_ORIGIN = Refusal(403, "forbidden_origin", "Requests from another site's pages are not answered.")
_COMPRESSED = Refusal(
    415,
    "invalid_request",
    "A compressed request body cannot be read here.",
    ((b"accept-encoding", b"identity"),),
)


class Screening:
    """The rules of one port.

    `allowed_hosts` are names or addresses without a port; `listen_host` is allowed as well unless it is a
    wildcard, which is no name anybody asks for. One piece of state, its own: the Host values accepted before.
    """

    def __init__(self, *, allowed_hosts: Collection[str], listen_host: str) -> None:
        self._names = frozenset(
            name
            for name in (_canonical(host) for host in ("localhost", listen_host, *allowed_hosts))
            if name and name not in {"0.0.0.0", "::", "*"}  # noqa: S104 - compared with, not bound to
        )
        self._accepted: dict[bytes, None] = {}

    def __repr__(self) -> str:
        names = ", ".join(sorted(self._names))
        return f"<Screening for {names} and loopback, {len(self._accepted)} remembered>"

    def judge(self, scope: Scope) -> Refusal | None:
        """None for a request that may go on. Looks at `raw_path`, never at the decoded path."""
        return _judge_request_line(scope) or self._judge_headers(scope["headers"], scope["http_version"])

    def _judge_headers(self, headers: Headers, http_version: str) -> Refusal | None:
        if len(headers) > HEADERS_LIMIT:
            return _BIG_HEADERS
        # One pass: the sizes are needed of all, the values of a few. A repeated header is joined as
        # RFC 9110, 5.3 says, so that a second one cannot hide behind the first.
        size = 0
        found: dict[bytes, bytes] = {}
        for name, value in headers:
            size += len(name) + len(value)
            if name in _WATCHED:
                found[name] = found[name] + b", " + value if name in found else value
        if size > HEADERS_LIMIT_BYTES:
            return _BIG_HEADERS
        return _judge_framing(found, http_version) or self._judge_sender(found) or _judge_encoding(found)

    def _judge_sender(self, found: dict[bytes, bytes]) -> Refusal | None:
        host = found.get(b"host")
        if host is None or b"," in host:
            return _NO_HOST
        if host not in self._accepted and not self._accept(host):
            return _BAD_HOST
        origin = found.get(b"origin")
        # Both schemes: a TLS proxy in front speaks https to the page and http to us. `null`, what a sandboxed
        # frame or a local file sends, is a foreign origin like any other.
        if origin is not None and origin not in {b"http://" + host, b"https://" + host}:
            return _BAD_ORIGIN
        # Requests that a page sends without an Origin (images, plain GET) have this in every current browser.
        if b"cross-site" in found.get(b"sec-fetch-site", b"").lower():
            return _BAD_ORIGIN
        return None

    def _accept(self, host: bytes) -> bool:
        match = _HOST.fullmatch(host)
        if match is None or int(match[3] or 0) > 65_535:
            return False
        bracketed, plain = match[1], match[2]
        name = _canonical((bracketed or plain).decode("ascii"))
        # An IPv6 address stands in brackets and nothing else does.
        if bracketed is not None and ":" not in name:
            return False
        if name not in self._names and not _is_loopback(name):
            return False
        if len(self._accepted) >= HOST_CACHE_SIZE:
            self._accepted.clear()
        self._accepted[host] = None
        return True


def _judge_request_line(scope: Scope) -> Refusal | None:
    if scope["http_version"] not in {"1.1", "1.0"}:
        return _BAD_VERSION
    method: str = scope["method"]
    if method not in _COMMON_METHODS:
        if method in {"CONNECT", "TRACE"}:
            return _BAD_METHOD
        if len(method) > METHOD_LIMIT_BYTES or _TOKEN.fullmatch(method) is None:
            return _ODD_METHOD
    return _judge_target(scope)


def _judge_target(scope: Scope) -> Refusal | None:
    path: bytes = scope["raw_path"]
    query: bytes = scope["query_string"]
    if len(path) + len(query) + bool(query) >= TARGET_LIMIT_BYTES:
        return _LONG_TARGET
    if _PLAIN_PATH.fullmatch(path) is None and _BAD_PATH.search(path) is not None:
        return _BAD_TARGET
    if query and _BAD_QUERY.search(query) is not None:
        return _BAD_TARGET
    return None


def _judge_framing(found: dict[bytes, bytes], http_version: str) -> Refusal | None:
    if b"transfer-encoding" in found and (b"content-length" in found or http_version == "1.0"):
        return _BAD_FRAMING
    if b"upgrade" in found and b"websocket" in found[b"upgrade"].lower():
        return _NO_UPGRADE
    return None


def _judge_encoding(found: dict[bytes, bytes]) -> Refusal | None:
    coding = found.get(b"content-encoding")
    if coding is None or coding.strip().lower() in {b"", b"identity"}:
        return None
    if b"transfer-encoding" in found or found.get(b"content-length", b"0").strip(b"0"):
        return _COMPRESSED
    return None


def _canonical(host: str) -> str:
    """One spelling per name: lower case, no brackets, addresses as `ipaddress` writes them."""
    name = host.strip().lower().removeprefix("[").removesuffix("]")
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name


def _is_loopback(name: str) -> bool:
    """127.0.0.0/8 and ::1, by address; not the IPv4-mapped forms, which no client sends in good faith."""
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    return address.is_loopback and (address.version == 4 or name == "::1")
