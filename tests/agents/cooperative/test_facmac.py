"""FACMAC by hand: one target of a team, which no agent's value lowers; and who it refuses."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from two_agents import KEY, PLAIN, learned, metrics_of, spec, step

from shoal.agents.cooperative.facmac import facmac, mixed
from shoal.agents.cooperative.vdn import SumMixer
from shoal.core.errors import UserError
from shoal.core.spaces import Box, Discrete
from shoal.registry import make

GAMMA = PLAIN["discount"]
BOX, CHOICES = Box(-2.0, 2.0, (1, 1)), Discrete((3, 2))


def summed(before):
    """The mixing networks replaced by sums, which have no parameters."""
    params, target = (x | {"mixer": (SumMixer(((0, 1),)),)} for x in (before.params, before.target))
    optimizers = {name: o for name, o in before.optimizers.items() if name != "mixer"}
    new = params, target, optimizers
    return eqx.tree_at(lambda b: (b.params, b.target, b.optimizers), before, new)


@pytest.mark.parametrize(
    ("ends", "goes_on"),
    [
        ({}, (1, 1)),
        ({"cut": True}, (1, 1)),
        ({"gone": True}, (0, 0)),
        ({"gone": (False, True)}, (1, 0)),
        ({"cut": (True, False)}, (1, 1)),
    ],
)
@pytest.mark.parametrize("space", [BOX, CHOICES])
def test_the_target_of_a_team_by_hand(space, ends, goes_on):
    """The mean of both rewards, and the sum of what those who go on expect; with critics that say 0
    the loss is its square. Once, though one of the two does not act."""
    made = facmac(**PLAIN)
    if space is BOX:
        out, action = np.arctanh([[0.25], [-0.5]]), [[1.0], [1.5]]
        values = np.array([3 * 0.25, 5 * -0.5])
        slow = [[0.0, 3.0], [0.0, 5.0]]  # of what it sees, which is 0, and of its action
    else:
        out, action = [[0.0, 2.0, 1.0], [0.5, 0.0, 9.0]], [2, 1]
        values = np.array([3.0, 5.0])
        slow = [[0.0, 1.0, 3.0, 2.0], [0.0, 5.0, 9.0, 9.0]]
    nothing, quiet = np.zeros_like(slow), np.zeros_like(out)
    before = summed(learned(made, spec(space), quiet, [nothing], out, [slow]))
    batch = step(space, action, (4.0, -3.0), active=(True, False), **ends)
    metrics = metrics_of(made, before, batch)
    y = 0.5 + GAMMA * values @ goes_on
    np.testing.assert_allclose(metrics["critic_mixer_loss"], y**2, rtol=1e-6)


def test_all_actors_are_judged_together_by_what_they_would_do_now():
    """3 u + 5 v, both of the actors; an agent that does not act adds nothing."""
    made = facmac(**PLAIN)
    out, weights = np.arctanh([[0.25], [-0.5]]), [[0.0, 3.0], [0.0, 5.0]]
    before = summed(learned(made, spec(BOX), out, [weights], out, [weights]))
    for active in (True, False):
        batch = step(BOX, [[1.0], [1.5]], gone=True, active=(True, active))
        metrics = metrics_of(made, before, batch)
        np.testing.assert_allclose(metrics["actor_loss"], -(0.75 - 2.5 * active), rtol=1e-6)


@pytest.mark.parametrize("monotonic", [True, False])
def test_a_teams_value_never_falls_with_an_agents_if_it_must_not(monotonic):
    """At 500 random values, with parameters moved at random, so that signs of all kinds occur."""
    made = facmac(**PLAIN, monotonic=monotonic, embed=5, hypernet=6)
    leaves, tree = jax.tree.flatten(made.init(spec(BOX), KEY).learned.params["mixer"])
    keys = jax.random.split(KEY, len(leaves))
    mixers = tree.unflatten([x + jax.random.normal(k, x.shape) for k, x in zip(keys, leaves)])
    q, state = jax.random.normal(KEY, (500, 2)), jax.random.normal(keys[0], (500, 1))

    def total(q, state):
        acts = jnp.ones((1, 1, 2), bool)
        return mixed(mixers, q[None, None, None], acts, state[None, None])[0, 0, 0, 0]

    slope = jax.jit(jax.vmap(jax.grad(total)))(q, state)
    assert (slope > 0).mean() > 0.3
    assert slope.min() >= 0 if monotonic else slope.min() < -0.1


def test_rival_teams_are_refused():
    world = make("mpe/simple_adversary")
    with pytest.raises(UserError, match="facmac learns one value of one team and mpe/simple_adver"):
        facmac().check(world.spec)
    facmac().check(make("mpe/simple_spread").spec)
