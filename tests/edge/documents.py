"""What is shipped beside the code, read for the tests that hold it against the code."""

import ast
import re
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parents[2]


def meanings(source: str) -> dict[str, str]:
    """The string below each field of the one class in this file, on one line."""
    tree = ast.parse((ROOT / source).read_text())
    (settings,) = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    found = {}
    for pair in pairwise(settings.body):
        match pair:
            case (
                ast.AnnAssign(target=ast.Name(id=key)),
                ast.Expr(value=ast.Constant(value=str(meaning))),
            ):
                found[key] = " ".join(meaning.split())
    return found


def plain(value: object) -> str:
    """A default as people write it."""
    return str(value).lower() if isinstance(value, bool) else str(value).removesuffix(".0")


def shipped_env(*prefixes: str) -> tuple[dict[str, str], dict[str, str]]:
    """Of the variables with these prefixes: what is in force, and what is commented out."""
    lines = (ROOT / "deploy/.env.example").read_text().splitlines()
    found = [re.fullmatch(r"(#?)([A-Z_]+)=(.*)", line) for line in lines]
    pairs = [match.groups() for match in found if match and match[2].startswith(prefixes)]
    assert all(
        not line or line.startswith("# ") or line == "#" or match
        for line, match in zip(lines, found, strict=True)
    )
    return {n: v for off, n, v in pairs if not off}, {n: v for off, n, v in pairs if off}
