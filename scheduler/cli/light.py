"""Typer's commands without the validation library that newer ones of it load to read a word.

Every option of ours is a text, a list of texts or a flag, so there is nothing to read; what has to be a
number or a path becomes one in the command. That saves a seventh of the time that a command takes. A Typer
that reads words in another way never asks for `get_runtime_param`, and then this file does nothing.
"""

from collections.abc import Sequence
from typing import Any, Final

from typer.core import TyperCommand, TyperGroup


class _AsWritten:
    """Takes words as they are."""

    @staticmethod
    def coerce(value: Any, param: Any, ctx: Any) -> Any:
        """None stays None; several stay several."""
        return list(value) if isinstance(value, tuple) else value


_AS_WRITTEN: Final = _AsWritten()


def _lighten(parameters: Sequence[Any]) -> None:
    for parameter in parameters:
        parameter.get_runtime_param = lambda: _AS_WRITTEN


class LightCommand(TyperCommand):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        _lighten(self.params)


class LightGroup(TyperGroup):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        _lighten(self.params)
