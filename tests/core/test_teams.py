"""Returns by team, by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

import shoal
from shoal.core.env import EnvSpec
from shoal.core.spaces import Discrete
from shoal.core.teams import (
    mean_returns,
    return_names,
    rival_teams,
    role_names,
    team_names,
)


def spec(agents: tuple[str, ...], teams: tuple[int, ...] = (), **more) -> EnvSpec:
    n = len(agents)
    return EnvSpec("test", agents, (1,) * n, Discrete((2,) * n), 1, teams=teams, **more)


@pytest.mark.parametrize(
    ("agents", "teams", "names"),
    [
        (("adversary_0", "adversary_1", "agent_0"), (0, 0, 1), ("adversary", "agent")),
        (("agent_0", "wolf-1", "wolf-2"), (5, 2, 2), ("wolf", "agent")),
        (("player_1", "player_2"), (0, 1), ("player_1", "player_2")),
        (("eve_0", "bob_0", "alice_0"), (0, 1, 1), ("eve", "team_1")),
        (("a_0", "a_1", "a_2", "a_3"), (0, 0, 1, 1), ("team_0", "team_1")),
        (("x", "x_1", "y_0"), (0, 0, 1), ("team_0", "y")),  # `x` is an agent
        (("0", "1"), (0, 1), ("0", "1")),
    ],
)
def test_names(agents: tuple[str, ...], teams: tuple[int, ...], names: tuple[str, ...]) -> None:
    assert team_names(spec(agents, teams)) == names
    assert role_names(spec(agents, roles=teams)) == tuple(
        name.replace("team", "role") for name in names
    )


def test_every_team_of_the_registry_has_a_name_of_its_own() -> None:
    from shoal import registry

    for name in registry.ENVIRONMENTS:
        found = shoal.make(name).spec
        names = team_names(found)
        assert len(set(names)) == len(names) == len(set(found.teams)), name


@pytest.mark.parametrize("array", [np.asarray, jnp.asarray])
def test_a_teams_return_is_the_mean_over_its_agents(array) -> None:
    rivals = spec(("wolf_0", "hare_0", "wolf_1"), (1, 0, 1))
    assert return_names(rivals) == ("return", "return/hare", "return/wolf")
    found = mean_returns(array([[1.0, -4.0, 3.0], [0.0, 6.0, 0.0]]), rivals)
    np.testing.assert_allclose(np.stack(found), [[0.0, 2.0], [-4.0, 6.0], [2.0, 0.0]])


def test_one_team_and_too_many_have_one_return() -> None:
    one, many = spec(("a_0", "a_1")), spec(tuple(f"a_{i}" for i in range(17)), tuple(range(17)))
    for each in (one, many):
        assert return_names(each) == ("return",) and not rival_teams(each)
        assert len(mean_returns(np.zeros((3, each.num_agents)), each)) == 1
