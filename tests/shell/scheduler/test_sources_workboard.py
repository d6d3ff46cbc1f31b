"""How the WorkBoard is asked: by the gateway where that lists cards, else by the command."""

from collections.abc import Mapping
from typing import Any

import pytest

from scheduler.core.exchange.items import Stage
from scheduler.gateway import Answer, AnswerLostError, Gateway, GatewayDownError, GatewayError, OpenClawError
from scheduler.roster.complete import complete
from scheduler.roster.file import RosterFile
from scheduler.sources.protocol import SourceRefusedError, SourceUnavailableError
from scheduler.sources.workboard import WorkBoard

CARDS: Answer = {"cards": [{"id": "a", "title": "A card", "status": "done"}]}


class Played(Gateway):
    """Answers, or fails; and counts who was asked."""

    def __init__(self, answer: Answer | OpenClawError) -> None:
        super().__init__(("openclaw",), {})
        self.answer = answer
        self.asked: list[str] = []

    async def call(self, method: str, params: Mapping[str, Any]) -> Answer:
        self.asked.append(method)
        if isinstance(self.answer, OpenClawError):
            raise self.answer
        return self.answer

    async def ask(self, *arguments: str) -> Answer:
        self.asked.append(" ".join(arguments))
        return CARDS


def board(gateway: Gateway) -> WorkBoard:
    return WorkBoard(gateway, lambda: complete(RosterFile()))


async def test_a_card_is_looked_at_through_the_gateway() -> None:
    gateway = Played(CARDS)
    assert (await board(gateway).look("a")).stage is Stage.DONE
    assert gateway.asked == ["workboard.cards.list"]


@pytest.mark.parametrize(
    ("answer", "again"),
    [
        (GatewayError("unknown method: workboard.cards.list", final=True), False),
        ({"items": []}, False),
        (GatewayDownError("nobody listens"), True),
        (AnswerLostError("no JSON but exit code 1"), True),
    ],
)
async def test_where_the_gateway_does_not_list_cards_the_command_does(
    answer: Answer | OpenClawError, again: bool
) -> None:
    gateway = Played(answer)
    workboard = board(gateway)
    for _ in range(2):
        assert (await workboard.look("a")).stage is Stage.DONE
    assert gateway.asked.count("workboard list") == 2
    assert (gateway.asked.count("workboard.cards.list") == 2) is again


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("no JSON but exit code 1 and: card is claimed by ops.", SourceRefusedError),
        ("no JSON but exit code 1 and: segmentation fault", SourceUnavailableError),
    ],
)
async def test_a_refusal_in_plain_words_is_one(words: str, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        await board(Played(AnswerLostError(words))).comment("a", "hello")
