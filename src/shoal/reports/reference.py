"""What a return is measured with: two known scores, of which one counts as 0 and the other as 1.

Returns of different worlds have different scales, so that nothing may be averaged over worlds, and
no score is far from "solved", without a reference score that is stated (Agarwal et al. 2021).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

EPISODES = 1000


class ReferenceScores(NamedTuple):
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


class NoReference(Exception):
    """Why a world has none."""


def observed_reference(scores: Sequence[float]) -> ReferenceScores:
    """From the lowest to the highest score of any seed that is compared (Gorsane et al. 2022): it
    changes with every run that is added. Raises `NoReference` where all scores are equal."""
    low, high = float(min(scores)), float(max(scores))
    if low == high:
        raise NoReference("all seeds score the same")
    return ReferenceScores(low, high, "the lowest seed", "the highest seed")


def scripted_reference(environment: str, fields: dict[str, Any]) -> ReferenceScores:
    """From random play to the world's hand-written controller, over 1,000 episodes each.

    Raises:
        NoReference: the world cannot be made here, has no such controller, or has one that is no
            better than random play.
    """
    from shoal import registry
    from shoal.core.errors import UserError
    from shoal.runs.fields import from_fields
    from shoal.training.backend import backend_of
    from shoal.training.run import evaluate

    if registry.is_own_code(environment):
        raise NoReference("it is code of one's own, which is not run to compare")
    try:
        env = registry.make(environment, **from_fields(fields))
    except UserError as error:
        raise NoReference(str(error)) from error
    if not backend_of(env).has_script(env):
        raise NoReference("it has no scripted controller")
    low, high = (evaluate(name, env, episodes=EPISODES).mean for name in ("random", "scripted"))
    if not low < high:
        raise NoReference(f"its scripted controller ({high:.2f}) does not beat random play")
    return ReferenceScores(low, high, "random play", "the scripted controller")
