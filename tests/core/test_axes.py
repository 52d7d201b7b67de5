"""Numbers at axes: short, and with a true minus."""

from matplotlib.figure import Figure

from shoal.core.axes import MINUS, compact, fraction, percent, ruled


def test_numbers_are_short() -> None:
    assert [compact(x) for x in (0, 0.1 + 0.2, -7.5, 999, 40_000, 1.5e6, -2e9)] == [
        *("0", "0.3", f"{MINUS}7.5", "999", "40k", "1.5M", f"{MINUS}2G")
    ]
    assert [percent(x) for x in (0, 0.25, 1)] == ["0%", "25%", "100%"]
    assert [fraction(x) for x in (0.5, -1 / 3, 1.0, 0.123456)] == [
        *("1/2", f"{MINUS}1/3", "1", "0.123")
    ]


def test_formats_serve_as_those_of_an_axis() -> None:
    axes = Figure().add_subplot()
    axes.set_xlim(0, 2e6)
    axes.xaxis.set_major_formatter(compact)
    ruled(axes)
    assert [axes.xaxis.get_major_formatter()(x, 0) for x in (5e5, 2e6)] == ["500k", "2M"]
    assert [name for name, spine in axes.spines.items() if spine.get_visible()] == ["bottom"]
