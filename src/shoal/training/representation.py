"""What a mixer can say of a payoff tensor, at best, and which joint action that makes greedy.

    minimise over q and the mixer  mean over u of (mix(q_1[u_1], .., q_N[u_N]) - U(u))^2

A sum of values (VDN) says of [[0, 1], [1, 8]] at best [[-1.5, 2.5], [2.5, 6.5]]. Other mixers are
fitted by gradients from several starts, which may all miss the best fit.
"""

from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from shoal.agents.cooperative.iql import QLearning
from shoal.core.errors import UserError, require, unknown
from shoal.nn.mixers import Choice, NoMixer
from shoal.registry import ALGORITHMS, make, make_algorithm

MIXERS = ("vdn", "qmix", "qplex", "qfix")


@dataclass(frozen=True)
class Fit:
    """The best of several fits to a payoff tensor, all joint actions weighed alike."""

    values: Float[np.ndarray, "*A"]
    """What the mixer says of each joint action."""
    utilities: tuple[np.ndarray, ...]
    """What each agent's own values are."""
    greedy: tuple[int, ...]
    """The joint action of the agents' own best actions."""
    loss: float
    """What that pays less than the best joint action."""
    error: float
    """The root of the mean squared error."""


def representational_gap(
    mixer: str | QLearning,
    payoffs: Float[Array, "*A"] | np.ndarray | list,
    *,
    steps: int = 3000,
    starts: int = 16,
    seed: int = 0,
) -> Fit:
    """Fits the mixer of an algorithm, and each agent's values, to all joint actions.

    Args:
        mixer: `"vdn"`, `"qmix"`, `"qplex"`, `"qfix"`, or such an algorithm with other widths.
        payoffs: a tensor with an axis for each of 2 to 6 agents.
        steps: of Adam, from each of the starts.
        starts: fits from different numbers, of which the one of least error counts.
        seed: of those.

    Raises:
        UserError: an algorithm without a mixer, or payoffs that are no such tensor.
    """
    require(steps >= 1 and starts >= 1, f"steps is {steps} and starts {starts}, expected 1 or more")
    if isinstance(mixer, str):
        if mixer not in ALGORITHMS:
            raise unknown("algorithm", mixer, MIXERS)
        mixer = make_algorithm(mixer)
    game = make("coop/matrix", payoffs=payoffs)
    sizes, spec = game.payoffs.shape, game.spec
    if not isinstance(mixer, QLearning) or isinstance(
        made := mixer.mixer(spec, jax.random.key(0)), NoMixer
    ):
        name = type(mixer).__name__
        raise UserError(f"{name} mixes no values: take one of {', '.join(MIXERS)}")
    actions = jnp.asarray(np.indices(sizes).reshape(len(sizes), -1).T)
    target, most = game.payoffs.reshape(-1), jnp.abs(game.payoffs).max()
    scale = jnp.where(most > 0, most, 1.0)
    legal = jnp.arange(max(sizes)) < jnp.array(sizes)[:, None]
    all_act, state = jnp.ones(actions.shape, bool), jnp.ones((len(actions), spec.state_size))
    static = eqx.filter(made, eqx.is_array, inverse=True)

    def values(params: Any) -> Float[Array, "P"]:
        q, mix = params
        every = jnp.broadcast_to(q, (len(actions), *q.shape))
        choice = Choice.of(every, actions, jnp.broadcast_to(legal, every.shape), all_act, state)
        return eqx.combine(mix, static)(choice)[:, 0]

    def start(key: PRNGKeyArray) -> Any:
        key_q, key_mixer = jax.random.split(key)
        mix = eqx.filter(mixer.mixer(spec, key_mixer), eqx.is_array)
        return jax.random.normal(key_q, legal.shape), mix

    adam = optax.adam(optax.cosine_decay_schedule(2e-2, steps))

    def fit(key: PRNGKeyArray) -> tuple[Float[Array, "N A"], Float[Array, "P"]]:
        def step(loop: Any, _: None) -> tuple[Any, None]:
            params, moments = loop
            grads = jax.grad(lambda p: ((values(p) - target / scale) ** 2).mean())(params)
            updates, moments = adam.update(grads, moments)
            return (optax.apply_updates(params, updates), moments), None

        params: Any = start(key)
        (params, _), _ = jax.lax.scan(step, (params, adam.init(params)), None, steps)
        q, mixed = params[0] * scale, values(params) * scale
        return q, mixed

    fits = jax.jit(jax.vmap(fit))(jax.random.split(jax.random.key(seed), starts))
    errors = np.sqrt(np.asarray(((fits[1] - target) ** 2).mean(1)))
    k = int(errors.argmin())
    utilities = tuple(np.asarray(q[:size]) for q, size in zip(fits[0][k], sizes))
    greedy = tuple(int(q.argmax()) for q in utilities)
    return Fit(
        values=np.asarray(fits[1][k]).reshape(sizes),
        utilities=utilities,
        greedy=greedy,
        loss=float(game.payoffs.max() - game.payoffs[greedy]),
        error=float(errors[k]),
    )
