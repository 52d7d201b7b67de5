"""Two agents that share no parameters, of whom all is known: steps made by hand, actors that say
the same whatever they see, and critics that are weighted sums."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from shoal.agents.experience import Experience
from shoal.agents.off_policy import Learned
from shoal.core.env import EnvSpec
from shoal.core.spaces import Box, Discrete

N = 2
KEY = jax.random.key(7)
PLAIN = dict(
    hidden=(), agent_id=False, sharing="independent", discount=0.5, learning_starts=0, capacity=8
)


def spec(space: Box | Discrete, **settings: Any) -> EnvSpec:
    return EnvSpec("tiny", ("a", "b"), (1,) * N, space, 10, state_size=1, **settings)


def step(
    space: Box | Discrete, action: Any, reward: Any = 0.0, state=0.0, next_state=0.0, **flags: Any
) -> Experience:
    """One step of both, who see nothing, `[1, 1, N]`. Flags are of an Experience; one value means
    both. Who is said to be neither cut nor gone goes on."""

    def each(x, dtype: Any = bool) -> Array:
        return jnp.broadcast_to(jnp.asarray(x, dtype), (1, 1, N))

    cut, gone = each(flags.get("cut", False)), each(flags.get("gone", False))
    masks = {name: flags.get(name, space.mask) for name in ("legal", "next_legal")}
    return Experience(
        obs=jnp.zeros((1, 1, N, 1)),
        next_obs=jnp.zeros((1, 1, N, 1)),
        action=jnp.asarray(action, space.dtype)[None, None],
        reward=each(reward, float),
        active=each(flags.get("active", True)),
        next_active=~(cut | gone),
        cut=cut,
        gone=gone,
        done=(cut | gone).all(-1),
        state=jnp.full((1, 1, 1), state),
        next_state=jnp.full((1, 1, 1), next_state),
        carry=(None, None),
        **{name: jnp.asarray(mask, bool)[None, None] for name, mask in masks.items()},
    )


def says(network: Any, out: Any) -> Any:
    """An actor whose output is `out`, `[N, A]`, whatever it sees."""
    head = network.stack.head
    new = jnp.zeros_like(head.weight), jnp.asarray(out, jnp.float32)
    return eqx.tree_at(lambda n: (n.stack.head.weight, n.stack.head.bias), network, new)


def weighs(critic: Any, *weights: Any) -> Any:
    """Critics whose values are their inputs weighted, `[N, in]` each."""
    places = lambda c: [network.stack.head.weight for network in c.networks]  # noqa: E731
    return eqx.tree_at(places, critic, [jnp.asarray(w, jnp.float32)[..., None] for w in weights])


def learned(made: Any, spec: EnvSpec, out: Any, weights: Any, slow_out: Any, slow: Any) -> Learned:
    """Actors and critics like that, one list of weights a critic, and slow copies of others."""
    start = made.init(spec, KEY).learned
    actors = [says(start.params["actor"], x) for x in (out, slow_out)]
    critics = [weighs(start.params["critic"], *w) for w in (weights, slow)]
    params, target = ({"actor": a, "critic": c} for a, c in zip(actors, critics))
    return Learned(start.params | params, start.target | target, start.optimizers, start.updates)


@eqx.filter_jit
def metrics_of(made: Any, before: Learned, batch: Experience) -> dict[str, Array]:
    """What a gradient step of size 0 reports. Equal algorithms share one compiled program."""
    return made.step(before, batch, KEY, 0.0)[1]
