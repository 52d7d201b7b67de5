"""What a return is measured with: two known scores, of which one counts as 0 and the other as 1.

Returns of different worlds have different scales, so that nothing may be averaged over worlds, and
no score is far from "solved", without a yardstick that is stated (Agarwal et al. 2021).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

EPISODES = 1000


class Yardstick(NamedTuple):
    """`low` counts as 0 and `high` as 1; `low_name` and `high_name` say what they are."""

    low: float
    high: float
    low_name: str
    high_name: str

    def __call__(self, x: Float[np.ndarray, "*U"]) -> Float[np.ndarray, "*U"]:
        """Returns as shares of the way from `low` to `high`."""
        return (x - self.low) / (self.high - self.low)

    @property
    def text(self) -> str:
        return f"{self.low_name} {self.low:.2f} counts as 0, {self.high_name} {self.high:.2f} as 1"


class NoYardstick(Exception):
    """Why a world has none."""


def observed_yardstick(scores: Sequence[float]) -> Yardstick:
    """From the lowest to the highest score of any seed that is compared (Gorsane et al. 2022): it
    changes with every run that is added. Raises `NoYardstick` where all scores are equal."""
    low, high = float(min(scores)), float(max(scores))
    if low == high:
        raise NoYardstick("all seeds score the same")
    return Yardstick(low, high, "the lowest seed", "the highest seed")


def scripted_yardstick(environment: str, fields: dict[str, Any]) -> Yardstick:
    """From random play to the world's hand-written controller, over 1,000 episodes each.

    Raises:
        NoYardstick: the world cannot be made here, has no such controller, or has one that is no
            better than random play.
    """
    from shoal import registry
    from shoal.core.errors import UserError
    from shoal.runs.fields import from_fields
    from shoal.training.backend import backend_of
    from shoal.training.run import evaluate

    try:
        env = registry.make(environment, **from_fields(fields))
    except UserError as error:
        raise NoYardstick(str(error)) from error
    if not backend_of(env).has_script(env):
        raise NoYardstick("it has no scripted controller")
    low, high = (evaluate(name, env, episodes=EPISODES).mean for name in ("random", "scripted"))
    if not low < high:
        raise NoYardstick(f"its scripted controller ({high:.2f}) does not beat random play")
    return Yardstick(low, high, "random play", "the scripted controller")
