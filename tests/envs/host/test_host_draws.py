import random

import numpy as np
from gymnasium import spaces

from shoal.envs.host.draws import Draws

SPACES = (
    spaces.Dict({"in": spaces.Tuple([spaces.Discrete(2**20), spaces.Box(0, 1, (2,))])}),
    spaces.MultiDiscrete([2**20, 2**20]),
    spaces.Discrete(2**20),
)


def drawn() -> list[float]:
    numbers = [random.random(), np.random.random(), *SPACES[0].sample()["in"][1].tolist()]
    return [*numbers, int(SPACES[2].sample()), *SPACES[1].sample().tolist()]


def test_a_seed_decides_all_that_is_drawn():
    draws = Draws(SPACES)
    draws.seed(7)
    first = drawn()
    SPACES[2].np_random.integers(2, dtype=np.uint32)  # keeps the other half of its 64 bits
    draws.seed(8)
    other = drawn()
    draws.seed(7)
    assert drawn() == first
    assert not set(first) & set(other)


def test_neighbouring_seeds_and_spaces_draw_apart():
    draws, rows = Draws(SPACES), []
    for seed in range(2000):
        draws.seed(seed)
        rows.append(drawn())
    found = np.corrcoef(np.transpose(rows)) - np.eye(len(rows[0]))
    assert abs(found).max() < 0.1
    means = np.mean(rows, 0) / [1, 1, 1, 1, 2**20, 2**20, 2**20]
    np.testing.assert_allclose(means, 0.5, atol=0.03)


def test_a_space_with_a_generator_of_another_kind_is_seeded_too():
    class Own(spaces.Discrete):
        def seed(self, seed=None):
            self._np_random = np.random.Generator(np.random.Philox(seed))
            return seed

    space = Own(2**20)
    space.seed(0)
    draws = Draws([space])
    draws.seed(5)
    first = space.sample()
    draws.seed(5)
    assert space.sample() == first
