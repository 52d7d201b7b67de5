"""Tables in a terminal."""

from collections.abc import Collection, Sequence


def table(rows: Sequence[Sequence[str]], left: Collection[int] = (0,)) -> list[str]:
    """Rows as indented lines: the words of columns `left` begin on one line, those of others end
    on one.

    >>> table([["", "seeds"], ["ppo", "4"]])
    ['       seeds', '  ppo      4']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    sides = ["<" if i in left else ">" for i in range(len(widths))]
    form = "".join(f"  {{:{side}{width}}}" for side, width in zip(sides, widths))
    return [form.format(*row).rstrip() for row in rows]
