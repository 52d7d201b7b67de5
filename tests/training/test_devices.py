"""Among how many devices a training is shared out."""

import random

import pytest

from shoal.core.errors import UserError, require
from shoal.training.devices import lay_out


class Divisible:
    """What asks that environments divide evenly."""

    def check_devices(self, num_envs: int, devices: int) -> None:
        require(num_envs % devices == 0, f"{num_envs} do not divide among {devices}")


@pytest.mark.parametrize("seed", range(200))
def test_all_that_are_asked_for_are_used_or_one_line_says_why_not(seed: int) -> None:
    rng = random.Random(seed)
    num_envs, members, available = (rng.randint(1, 12) for _ in range(3))
    asked = rng.choice([0, rng.randint(1, 14)])
    try:
        devices, groups = lay_out(Divisible(), num_envs, members, available, asked)
    except UserError as error:
        fits = any(
            asked % groups == members % groups == num_envs % (asked // groups) == 0
            for groups in [max(d for d in range(1, asked + 1) if asked % d == members % d == 0)]
        )
        assert asked > available or not fits, error
        return
    assert members % groups == num_envs % devices == 0
    assert devices * groups == asked or (not asked and devices * groups <= available)
