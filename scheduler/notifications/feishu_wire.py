"""What a Feishu custom bot reads, and what its answers mean. Pure.

From its documentation: the signature is the base64 of an HMAC-SHA256 over nothing, under the key
``{timestamp}\\n{secret}``; a body is 20 KB at most; the answer is 200 whatever happened: its `code` says.

Text from outside is data: in a text message ``<at user_id="all">`` would ring everybody, so its bracket is
made a full-width one. Cards hold `plain_text` alone, which nobody reads markup in.
"""

import base64
import hashlib
import hmac
import json
import re
from typing import Any, Final

from scheduler.notifications.card import Card, Level, read_card
from scheduler.notifications.letters import Letter, cut
from scheduler.notifications.outcomes import Later, Never, Outcome, Told

MOST_BYTES: Final = 20_000
"""Of a whole request. The documentation says 20 KB, and not which KB."""
TEXT_BYTES: Final = 14_000
"""Of a letter: what JSON escapes in ordinary text finds room beside it."""
_LONGEST_REASON: Final = 200

_ODD: Final = re.compile("[\x00-\x1f\x7f-\x9f]")
_AT: Final = re.compile(r"<(?=\s*/?\s*at\b)", re.IGNORECASE)
_COLOURS: Final = {
    Level.CRITICAL: "red",
    Level.WARNING: "orange",
    Level.INFO: "blue",
    Level.RESOLVED: "green",
}

# 9499 too many requests (or a bad one: its words tell), 11232 and 11233 the frequency of the bot and of the
# tenant, 230020 of the group, 99991400 of the application, 2200 an error of theirs.
_PASSING: Final = frozenset({2200, 9499, 11232, 11233, 230020, 99991400})
_PASSING_WORDS: Final = re.compile(r"too many|frequen|rate.?limit|internal|timeout|try again", re.IGNORECASE)
_FINAL_WORDS: Final = re.compile(r"bad request", re.IGNORECASE)
# 408, 425 and 429 say something of the moment, all other 4xx of the request.
_PASSING_STATUS: Final = frozenset({408, 425, 429})


def signature(timestamp: int, secret: str) -> str:
    """What proves that we know the secret, for about an hour around `timestamp`."""
    digest = hmac.new(f"{timestamp}\n{secret}".encode(), b"", hashlib.sha256).digest()
    return base64.b64encode(digest).decode("ascii")


def body(letter: Letter, *, timestamp: int, secret: str) -> bytes:
    """The request's body, cut to what the bot takes. An empty secret signs nothing."""
    signed: dict[str, Any] = {}
    if secret:
        signed = {"timestamp": str(timestamp), "sign": signature(timestamp, secret)}
    card = None if letter.card is None else read_card(letter.card)
    if card is not None:
        encoded = _encode(signed | {"msg_type": "interactive", "card": _card(card)})
        if len(encoded) <= MOST_BYTES:
            return encoded
    text = _AT.sub("＜", letter.text)
    while True:
        encoded = _encode(signed | {"msg_type": "text", "content": {"text": text}})
        excess = len(encoded) - MOST_BYTES
        if excess <= 0:
            return encoded
        text = cut(text, len(text.encode("utf-8", "replace")) - excess)


def verdict(status: int, answer: bytes, *, hide: tuple[str, ...]) -> Outcome:
    """What the bot said. Of its own words some are shown, without what is in `hide`."""
    if status != 200:
        passing = status >= 500 or status in _PASSING_STATUS
        return (Later if passing else Never)(f"Feishu answered {status}")
    try:
        said = json.loads(answer)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        return Later("Feishu's answer is not understood")
    code = said.get("code", said.get("StatusCode"))  # bots of the first version know only the second
    if code == 0:
        return Told()
    words = str(said.get("msg") or said.get("StatusMessage") or "")
    error = f"Feishu answered code {str(code)[:20]}: {_shown(words, hide)}"
    passing = bool(_PASSING_WORDS.search(words)) or (code in _PASSING and not _FINAL_WORDS.search(words))
    return Later(error) if passing else Never(error)


def _card(card: Card) -> dict[str, Any]:
    elements: list[dict[str, Any]] = []
    if card.fields:
        fields = [{"is_short": True, "text": _plain(f"{name}\n{value}")} for name, value in card.fields]
        elements.append({"tag": "div", "fields": fields})
    if card.details:
        elements.append({"tag": "div", "text": _plain(card.details)})
    if card.link:
        button = {"tag": "button", "text": _plain("Open"), "type": "primary", "url": card.link}
        elements.append({"tag": "action", "actions": [button]})
    return {
        "config": {"wide_screen_mode": True},
        "header": {"title": _plain(card.title), "template": _COLOURS[card.level]},
        "elements": elements or [{"tag": "div", "text": _plain(card.title)}],
    }


def _plain(text: str) -> dict[str, str]:
    return {"tag": "plain_text", "content": text}


def _encode(message: dict[str, Any]) -> bytes:
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _shown(words: str, hide: tuple[str, ...]) -> str:
    for secret in hide:
        if secret:
            words = words.replace(secret, "***")
    # Half an emoji and what no line may hold would be refused where the error is kept.
    clean = _ODD.sub(" ", words.encode("utf-8", "replace").decode())
    return " ".join(clean.split())[:_LONGEST_REASON] or "no reason given"
