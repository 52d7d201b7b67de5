"""Parameters that are cut into parts: nothing is lost, and parts make the steps of the whole."""

import jax
import jax.numpy as jnp
import pytest
from test_rollouts import close, same

import shoal
from shoal.agents.policy_gradient.a2c import Gradient, a2c, maa2c
from shoal.core.descend import rows_of
from shoal.core.errors import UserError
from shoal.distributed.cut import Cut

ENV = shoal.make("mpe/simple_speaker_listener")


def of(algorithm):
    state = algorithm.init(ENV.spec, jax.random.key(0))
    learned = {name: state.params[name] for name in state.optimizers}
    leaves, structure = jax.tree.flatten(learned)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    drawn = [jax.random.normal(key, x.shape) for key, x in zip(keys, leaves)]
    return state, Gradient(structure.unflatten(drawn), None, None)


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_parts_make_the_steps_of_the_whole(count):
    """Of two groups of agents, clipped; of which one has a gradient that is not finite at first."""
    algorithm = maa2c(hidden=(8,), sharing="independent", max_grad_norm=0.5)
    state, gradient = of(algorithm)
    cut = Cut(state, count)
    parts = cut.states(state)
    same(state, cut.state(parts))
    same((state.params, None, None), cut.whole(cut.pulled((state.params, None, None))))
    spoilt = jax.tree.map(lambda x: x.at[0].set(jnp.nan), gradient.params["actor"])
    spoilt = Gradient(gradient.params | {"actor": spoilt}, None, None)
    for whole in (spoilt, gradient, gradient):
        state, norms = algorithm.apply(state, whole, jnp.float32(0.0))
        squares = {
            name: (rows_of(whole.params[name], len(optimizer.skipped)) ** 2).sum(1)
            for name, optimizer in state.optimizers.items()
        }
        found = [
            algorithm.apply(part, own, jnp.float32(0.0), squares)
            for part, own in zip(parts, cut.gradients(whole), strict=True)
        ]
        parts = [part for part, _ in found]
        for _, said in found:
            close(norms, said)
    assert state.optimizers["actor"].skipped.tolist() == [1, 0]
    close(state, cut.state(parts), tolerance=1e-6)


def test_parts_are_of_about_equal_bytes():
    state, _ = of(a2c(hidden=(32, 32)))
    sizes = Cut(state, 2).bytes
    assert max(sizes) < 1.1 * min(sizes)
    assert sum(sizes) == sum(x.nbytes for x in jax.tree.leaves(state.params))


def test_more_parts_than_arrays_are_refused():
    state, _ = of(a2c(hidden=(8,)))
    with pytest.raises(UserError, match="servers is 9, expected at most the 8 arrays"):
        Cut(state, 9)
