"""Results as a table for a terminal, with the target beside the figure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Self


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number. `most` or `least` is its target; without one it is for information."""

    name: str
    value: float
    unit: str = ""
    digits: int = 2
    most: float | None = None
    least: float | None = None
    samples: tuple[float, ...] = ()
    """what `value` is the median of"""

    @classmethod
    def of(  # noqa: PLR0917 - what a figure has
        cls,
        name: str,
        samples: Sequence[float],
        unit: str = "",
        digits: int = 2,
        most: float | None = None,
        least: float | None = None,
    ) -> Self:
        """The median of `samples`."""
        return cls(name, median(samples), unit, digits, most, least, tuple(samples))

    def called(self, name: str) -> Self:
        """The same by another name."""
        return replace(self, name=name)

    @property
    def range(self) -> str:
        """From the least to the most that was seen."""
        if not self.samples:
            return ""
        return f"{min(self.samples):,.{self.digits}f} to {max(self.samples):,.{self.digits}f}"

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

    def row(self) -> tuple[str, ...]:
        """Its line of a table."""
        value = f"{self.value:,.{self.digits}f} {self.unit}".rstrip()
        return self.name, value, self.range, self.target, self.verdict

    def as_json(self) -> dict[str, object]:
        """What is kept of it."""
        told: dict[str, object] = {
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "target": self.target or None,
        }
        return told | ({"samples": self.samples} if self.samples else {})


def print_figures(title: str, figures: Sequence[Figure]) -> None:
    """A table of figures and their targets; without ranges if no figure has one."""
    rows: list[tuple[str, ...]] = [
        ("", "measured", "range", "target", ""),
        *(figure.row() for figure in figures),
    ]
    if not any(figure.samples for figure in figures):
        rows = [(*row[:2], *row[3:]) for row in rows]
    print_table(title, rows[0], rows[1:])


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
