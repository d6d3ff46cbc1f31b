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
    def coerce(value: Any, **_: Any) -> Any:
        """None stays None; several stay several."""
        return list(value) if isinstance(value, tuple) else value


_AS_WRITTEN: Final = _AsWritten()


def _lightened(parameters: Sequence[Any]) -> list[Any]:
    for parameter in parameters:
        parameter.get_runtime_param = lambda: _AS_WRITTEN
    return list(parameters)


# When they are asked for, not when the command is made: `--help` and the completion's options come later.
class LightCommand(TyperCommand):
    def get_params(self, ctx: Any) -> list[Any]:
        return _lightened(super().get_params(ctx))


class LightGroup(TyperGroup):
    def get_params(self, ctx: Any) -> list[Any]:
        return _lightened(super().get_params(ctx))
