"""Tool calls that are scripted: what the model asks its client to do, in the place of words. Pure.

A model takes arguments out of what it was told, and so does a script: ``find`` looks for them in the
conversation. A script waits for a chat request that offers its tool.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from proxy.simulator.bodies import Body


class ToolCall(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The next request that offers ``name`` is answered by calling it, once."""

    name: str
    arguments: dict[str, Any] = {}
    find: dict[str, str] = {}
    """What ``{word}`` in the arguments stands for: a pattern each, the first group of its first match."""

    def __post_init__(self) -> None:
        for pattern in self.find.values():
            try:
                groups = re.compile(pattern).groups
            except re.error as error:
                raise ValueError(f"not a pattern: {pattern!r}") from error
            if groups != 1:
                raise ValueError(f"one group is needed: {pattern!r}")

    def written(self, body: Body) -> str:
        """The arguments as a model writes them: JSON in a string. What was not said is empty."""
        said = body.said()
        found = {word: re.search(pattern, said) for word, pattern in self.find.items()}
        words = {f"{{{word}}}": match[1] if match else "" for word, match in found.items()}
        return json.dumps(_filled(self.arguments, words))


def _filled(value: Any, words: Mapping[str, str]) -> Any:
    match value:
        case str():
            for word, meant in words.items():
                value = value.replace(word, meant)
            return value
        case dict():
            return {name: _filled(each, words) for name, each in value.items()}
        case list():
            return [_filled(each, words) for each in value]
        case _:
            return value


class ToolCalls:
    """The scripts that have not been played yet, in the order in which they were written."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._waiting: list[ToolCall] = []

    def script(self, call: ToolCall) -> None:
        self._waiting.append(call)

    def take(self, body: Body) -> ToolCall | None:
        """The first one, if this request offers its tool."""
        if self._waiting and self._waiting[0].name in body.offered():
            return self._waiting.pop(0)
        return None
