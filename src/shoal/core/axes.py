"""How axes look in every picture and page: short numbers, thin rules, no ticks and no box."""

from fractions import Fraction
from typing import TYPE_CHECKING

from shoal.core.colors import LINE, SOFT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MINUS = "\N{MINUS SIGN}"


def compact(x: float | int, _: object = None) -> str:
    """A number in few letters, with a true minus.

    >>> [compact(x) for x in (0, 0.25, 40_000, 1.5e6, 2e9)]
    ['0', '0.25', '40k', '1.5M', '2G']
    """
    units = ((1e9, "G"), (1e6, "M"), (1e3, "k"))
    size, unit = next((pair for pair in units if abs(x) >= pair[0]), (1.0, ""))
    return f"{x / size:.6g}{unit}".replace("-", MINUS)


def percent(x: float | int, _: object = None) -> str:
    """A share as a percentage: `25%`."""
    return f"{x:.0%}"


def fraction(x: float | int) -> str:
    """A number as a fraction where it is a simple one, else to three digits."""
    simple = Fraction(x).limit_denominator(99)
    text = str(simple) if abs(float(simple) - x) <= 1e-9 else f"{x:.3g}"
    return text.replace("-", MINUS)


def quiet(axes: "Axes") -> None:
    """Thin edges and soft numbers."""
    axes.tick_params(length=0, pad=5, labelsize=9, colors=SOFT)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_color(LINE)


def ruled(axes: "Axes") -> None:
    """Quiet, with level rules instead of a box."""
    quiet(axes)
    axes.grid(axis="y", color=LINE, linewidth=0.8)
    axes.spines[["top", "right", "left"]].set_visible(False)
