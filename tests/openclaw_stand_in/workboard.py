"""WorkBoard: its cards, and what the gateway's methods do to them. As seen on 2026.9.6.

`workboard list` reads the file itself, so it answers while the gateway is down.
"""

from typing import Any
from uuid import uuid4

from tests.openclaw_stand_in.refusal import RefusedError
from tests.openclaw_stand_in.state import Gateway, now_ms

CLAIM_MS = 30 * 60_000
RECLAIM_MS = 5 * 60_000
"""How long after its end the claim of a running card may be taken over."""
MAX_WORDS = 2_000
OFF = {
    "never on": (
        'The `openclaw workboard` command is provided by the "workboard" plugin, but that bundled plugin is'
        " disabled by default. Run `openclaw plugins enable workboard` to enable that CLI surface."
    ),
    "off": (
        "The `openclaw workboard` command is unavailable because `plugins.entries.workboard.enabled=false`."
        " Re-enable that entry if you want the bundled plugin command surface."
    ),
    "not allowed": (
        'The `openclaw workboard` command is unavailable because `plugins.allow` excludes "workboard".'
        ' Add "workboard" to `plugins.allow` if you want that bundled plugin CLI surface.'
    ),
    "not there": (
        'OpenClaw does not know the command "workboard".\nTry: openclaw --help\n'
        "Plugin command? openclaw plugins list\nDocs: https://docs.openclaw.ai/cli"
    ),
}
"""What `workboard list` says then."""

Card = dict[str, Any]
Params = dict[str, Any]


def listing(gateway: Gateway) -> Params:
    """`workboard list --json`: archived cards, too; no token is shown."""
    return {"cards": [_shown(card) for card in gateway["cards"].values()]}


def add(gateway: Gateway, card: Card) -> str:
    """A new card; its id."""
    card_id = str(uuid4())
    metadata = {"automation": {"workspaceAccess": {"unrestricted": True}}, **card.pop("metadata", {})}
    gateway["cards"][card_id] = {
        "id": card_id,
        "status": "todo",
        "priority": "normal",
        "labels": [],
        "position": 1000,
        "createdAt": now_ms(),
        "updatedAt": now_ms(),
        "events": [],
        **card,
        "metadata": metadata,
    }
    return card_id


def claim(gateway: Gateway, params: Params) -> Params:
    card, owner, now = _card(gateway, params), params["ownerId"], now_ms()
    held = card["metadata"].get("claim")
    if card["metadata"].get("archivedAt"):
        raise RefusedError("card is archived.")
    held_fast = held and held["expiresAt"] + (RECLAIM_MS if card["status"] == "running" else 0) > now
    parents = _parents(gateway, card)
    if parents and not held_fast and card["status"] == "blocked":
        raise RefusedError("card is blocked; use workboard_unblock before claiming.")
    if not held_fast and not all(parent and parent["status"] == "done" for parent in parents):
        raise RefusedError("card dependencies are not done.")
    if card["status"] == "scheduled":
        raise RefusedError("card is scheduled for later.")
    if held_fast:
        raise RefusedError(f"card already claimed by {held['ownerId']}.")
    if any(_holds(other, owner, now) for other in gateway["cards"].values() if other is not card):
        raise RefusedError(f"Owner {owner} already has active Workboard work.")
    token = str(uuid4())
    card["metadata"]["claim"] = {
        "ownerId": owner,
        "token": token,
        "claimedAt": now,
        "lastHeartbeatAt": now,
        "expiresAt": now + CLAIM_MS,
    }
    if card["status"] in {"backlog", "todo", "ready"}:
        card["status"] = "running"
    return {"card": _shown(card), "token": token}


def heartbeat(gateway: Gateway, params: Params) -> Params:
    card, now = _card(gateway, params), now_ms()
    held = card["metadata"].get("claim")
    if not held:
        raise RefusedError("card is not claimed.")
    _check(held, params)
    held.update(lastHeartbeatAt=now, expiresAt=now + CLAIM_MS)
    return {"card": _shown(card)}


def comment(gateway: Gateway, params: Params) -> Params:
    card = _card(gateway, params)
    _say(card, params["body"], "comment body")
    return {"card": _shown(card)}


def release(gateway: Gateway, params: Params) -> Params:
    card = _card(gateway, params)
    held = card["metadata"].get("claim")
    if held:
        _check(held, params)
    card["metadata"].pop("claim", None)
    card["status"] = params.get("status", card["status"])
    return {"card": _shown(card)}


def complete(gateway: Gateway, params: Params) -> Params:
    """Asks for nobody's claim."""
    card = _card(gateway, params)
    if params.get("summary"):
        _say(card, params["summary"], "summary")
    card["metadata"].pop("claim", None)
    card["status"] = "done"
    return {"card": _shown(card)}


def block(gateway: Gateway, params: Params) -> Params:
    """Neither does this."""
    card = _card(gateway, params)
    _say(card, params.get("reason") or "Workboard card blocked.", "block reason")
    card["metadata"].pop("claim", None)
    card["status"] = "blocked"
    return {"card": _shown(card)}


def _card(gateway: Gateway, params: Params) -> Card:
    card: Card | None = gateway["cards"].get(params["id"])
    if card is None:
        raise RefusedError(f"card not found: {params['id']}")
    card["updatedAt"] = now_ms()
    return card


def _check(held: Params, params: Params) -> None:
    """Whoever has the owner's name needs no token."""
    token, owner = params.get("token"), params.get("ownerId")
    if token and token != held["token"]:
        raise RefusedError("claim token does not match.")
    if not token and owner and owner != held["ownerId"]:
        raise RefusedError("claim owner does not match.")


def _say(card: Card, text: str, what: str) -> None:
    length = len(text.encode("utf-16-le")) // 2
    if length > MAX_WORDS:
        raise RefusedError(f"{what} must be {MAX_WORDS} characters or fewer (got {length}).")
    card["metadata"].setdefault("comments", []).append({"body": text, "createdAt": now_ms()})


def _holds(card: Card, owner: str, now: int) -> bool:
    """Whether this card is the one that the owner may have."""
    held = card["metadata"].get("claim")
    active = bool(held) and held["expiresAt"] > now
    holder = held["ownerId"] if active else card.get("agentId")
    busy = card["status"] == "running" or (card["status"] != "done" and active)
    return busy and holder == owner and not card["metadata"].get("archivedAt")


def _parents(gateway: Gateway, card: Card) -> list[Card | None]:
    links = card["metadata"].get("links", [])
    return [gateway["cards"].get(link["targetCardId"]) for link in links if link["type"] == "parent"]


def _shown(card: Card) -> Card:
    held = card["metadata"].get("claim")
    if not held:
        return card
    return {**card, "metadata": {**card["metadata"], "claim": {**held, "token": "[redacted]"}}}
