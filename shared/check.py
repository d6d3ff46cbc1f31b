"""What the ``check`` of a process prints: each effective setting, where it came from, and no secret."""

import json
from collections.abc import Iterator

from shared.settings import Effective, ProcessSettings, effective


def as_json(settings: ProcessSettings) -> str:
    """``{"settings": {key: {"value", "source", "variable"}}, "warnings": [...]}``"""
    rows = {
        row.key: {"value": row.value, "source": row.source, "variable": row.variable}
        for row in effective(settings)
    }
    return json.dumps({"settings": rows, "warnings": list(settings.warnings)}, indent=2)


def as_text(settings: ProcessSettings) -> Iterator[str]:
    """One line per setting: key, value, source, and the variable that sets it."""
    rows = list(effective(settings))
    key_width = max(len(row.key) for row in rows)
    value_width = min(48, max(len(_value(row)) for row in rows))
    for row in rows:
        line = f"{row.key:{key_width}}  {_value(row):{value_width}}  {row.source:11}  {row.variable or ''}"
        yield line.rstrip()


def _value(row: Effective) -> str:
    if isinstance(row.value, str):
        return row.value or '""'
    if isinstance(row.value, float):
        return repr(row.value).removesuffix(".0")
    return json.dumps(row.value)
