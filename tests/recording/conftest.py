"""The walk, and a recording of it."""

import jax
import pytest
from walk import TwoOfThree, Walk

from shoal.training.backend import record


@pytest.fixture(scope="session")
def walk():
    return Walk()


@pytest.fixture(scope="session")
def two_of_three():
    return TwoOfThree()


@pytest.fixture(scope="session")
def recording(walk, two_of_three):
    """Two episodes, both alike: the walk has no chance in it and the policy is greedy."""
    key = jax.random.key(0)
    return record(two_of_three, walk, key, episodes=2, algorithm="two_of_three", seed=7)
