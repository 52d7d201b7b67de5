"""A market as a picture: a row for each agent, a column for each good."""

import numpy as np
from jaxtyping import Float

from shoal.core.picture import Picture, Rectangle, Shape, Text
from shoal.envs.particle.palette import BLUE

LEFT, TOP, SIDE = -0.72, 0.72, 1.4
PALE, EMPTY = "#ced4da", "#f1f3f5"


def market(
    valuations: Float[np.ndarray, "N M"],
    held: Float[np.ndarray, "N M"],
    bids: Float[np.ndarray, "N M"],
    title: str,
    result: str,
) -> Picture:
    """Each cell has a bar as wide as the good is worth to the agent, blue up to the share of the
    good that the agent holds: the blue area is the utility. Prices stand below the goods, and
    beside the agents what they spent and their utilities."""
    n, m = valuations.shape
    high, wide = SIDE / n, SIDE / m
    gap = 0.06 * min(high, wide)
    tall, room = high - 2 * gap, wide - 2 * gap
    size = min(0.055, 0.45 * high, 0.4 * wide)
    rows = [TOP - high * (i + 0.5) for i in range(n)]
    columns = [LEFT + wide * (j + 0.5) for j in range(m)]
    utility, right = (valuations * held).sum(1), LEFT + SIDE
    shapes: list[Shape] = [Text(0.0, 1.06, title, size=0.075)]
    shapes += [Text(right + 0.13, TOP + 0.07, "spent", size=0.045)]
    shapes += [Text(right + 0.34, TOP + 0.07, "utility", size=0.045)]
    for i, y in enumerate(rows):
        shapes.append(Text(LEFT - 0.15, y, f"agent {i + 1}", size=size))
        for j, x in enumerate(columns):
            start, bottom = x - room / 2, y - tall / 2
            worth = room * float(valuations[i, j] / valuations.max())
            shapes.append(Rectangle(start, bottom, room, tall, EMPTY))
            shapes.append(Rectangle(start, bottom, worth, tall, PALE))
            shapes.append(Rectangle(start, bottom, worth, tall * float(held[i, j]), BLUE))
        shapes.append(Text(right + 0.13, y, f"{bids[i].sum():.2f}", size=size))
        shapes.append(Text(right + 0.34, y, f"{utility[i]:.2f}", size=size))
    for j, x in enumerate(columns):
        shapes.append(Text(x, TOP + 0.07, str(j + 1), size=size))
        shapes.append(Text(x, TOP - SIDE - 0.07, f"{bids[:, j].sum():.2f}", size=size))
    shapes += [
        Text(LEFT - 0.15, TOP - SIDE - 0.07, "price", size=size),
        Text(0.0, -0.92, "as wide as the good is worth; blue: the share held", size=0.055),
        Text(0.0, -1.04, result, size=0.06),
    ]
    return Picture(tuple(shapes), view=(-1.15, -1.15, 1.15, 1.15))
