"""A market as a picture: a row for each agent, a column for each good."""

import numpy as np
from jaxtyping import Float

from shoal.core.picture import Circle, Picture, Shape, Text
from shoal.envs.particle.palette import BLUE

LEFT, TOP, SIDE = -0.72, 0.72, 1.4
PALE = "#adb5bd"


def market(
    valuations: Float[np.ndarray, "N M"],
    held: Float[np.ndarray, "N M"],
    bids: Float[np.ndarray, "N M"],
    title: str,
    result: str,
) -> Picture:
    """Each cell has a grey disc, whose area is what the good is worth to the agent, on a place
    that is blue to the share of the good that the agent holds. Prices stand below the goods, and
    beside the agents what they spent and their utilities."""
    n, m = valuations.shape
    high, wide = SIDE / n, SIDE / m
    cell = 0.47 * min(high, wide)
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
            shapes.append(Circle(x, y, cell, BLUE, opacity=float(held[i, j])))
            worth = np.sqrt(valuations[i, j] / valuations.max())
            shapes.append(Circle(x, y, 0.6 * cell * float(worth), PALE, opacity=0.75))
        shapes.append(Text(right + 0.13, y, f"{bids[i].sum():.2f}", size=size))
        shapes.append(Text(right + 0.34, y, f"{utility[i]:.2f}", size=size))
    for j, x in enumerate(columns):
        shapes.append(Text(x, TOP + 0.07, str(j + 1), size=size))
        shapes.append(Text(x, TOP - SIDE - 0.07, f"{bids[:, j].sum():.2f}", size=size))
    shapes += [
        Text(LEFT - 0.15, TOP - SIDE - 0.07, "price", size=size),
        Text(0.0, -0.92, "blue: the share held; grey: what the good is worth", size=0.055),
        Text(0.0, -1.04, result, size=0.06),
    ]
    return Picture(tuple(shapes), view=(-1.15, -1.15, 1.15, 1.15))
