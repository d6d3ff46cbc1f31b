"""Results as a table for a terminal, with the target beside the figure."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number. `most` or `least` is its target; without one it is for information."""

    name: str
    value: float
    unit: str = ""
    digits: int = 2
    most: float | None = None
    least: float | None = None

    @property
    def target(self) -> str:
        """As it stands in the table."""
        if self.most is not None:
            return f"<= {self.most:g} {self.unit}".rstrip()
        if self.least is not None:
            return f">= {self.least:g} {self.unit}".rstrip()
        return ""

    @property
    def verdict(self) -> str:
        """By the figure as it is printed: nobody is told that 1.50 is more than 1.5."""
        shown = round(self.value, self.digits)
        if self.most is not None:
            return "met" if shown <= self.most else "NOT MET"
        if self.least is not None:
            return "met" if shown >= self.least else "NOT MET"
        return ""

    def row(self) -> tuple[str, str, str, str]:
        """Its line of a table."""
        return self.name, f"{self.value:,.{self.digits}f} {self.unit}".rstrip(), self.target, self.verdict

    def as_json(self) -> dict[str, object]:
        """What is kept of it."""
        return {"name": self.name, "value": self.value, "unit": self.unit, "target": self.target or None}


def print_figures(title: str, figures: Sequence[Figure]) -> None:
    """A table of figures and their targets."""
    print_table(title, ("", "measured", "target", ""), [figure.row() for figure in figures])


def print_table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """First column to the left, the others to the right."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    print(f"\n{title}\n")
    for row in (head, tuple("-" * width for width in widths), *rows):
        first, *others = (
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        print("  " + "  ".join([first, *others]).rstrip())
    print(flush=True)
