"""Action distributions over all agents at once, with illegal and padded actions left out.

`action_distribution` reads one from a network's output, for any action space.
"""

import abc
import functools
import itertools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from shoal.core.spaces import ActionSpace, Box, Discrete, Factored, legal_actions

_ILLEGAL = -1e9
_UNROLLED = 16  # actions up to which running sums are written out: fast, but slow to compile
_NODES = 32  # of Gauss-Hermite quadrature


class Distribution(eqx.Module):
    """A distribution over the actions of every agent, who draw independently, or in order, each
    `given` the actions of those before it."""

    @abc.abstractmethod
    def sample(self, key: PRNGKeyArray) -> Array:
        """Draws an action for each agent."""

    @abc.abstractmethod
    def mode(self) -> Array:
        """The greedy action of each agent."""

    @abc.abstractmethod
    def log_prob(self, action: Array) -> Float[Array, "*B N"]:
        """The logarithm of each agent's probability, or density, of its action."""

    @abc.abstractmethod
    def entropy(self) -> Float[Array, "*B N"]:
        """The entropy of each agent's distribution, in nats."""

    def given(self, action: Array) -> "Distribution":
        """The distribution of each agent where those who decide before it do that."""
        return self

    @abc.abstractmethod
    def kl(self, other: Any) -> Float[Array, "*B N"]:
        """The Kullback-Leibler divergence of another distribution of this kind from this one, for
        each agent: E[log p(a) - log q(a)] over actions a of this one, p."""


# Discrete actions -------------------------------------------------------------------------------


class Categorical(Distribution):
    """Softmax over legal actions.

    Actions come first inside: a vector unit then works on many samples of one action, and not on
    the few actions of one sample.
    """

    by_action: Float[Array, "A *B N"]  # log_probs with the last axis first

    def __init__(self, logits: Float[Array, "*B N A"], mask: Bool[Array, "*B N A"] | None = None):
        logits = jnp.moveaxis(logits, -1, 0)
        if mask is not None:
            logits = jnp.where(jnp.moveaxis(mask, -1, 0), logits, _ILLEGAL)
        self.by_action = jax.nn.log_softmax(logits, 0)

    @property
    def log_probs(self) -> Float[Array, "*B N A"]:
        """The logarithm of each action's probability; about -1e9 where it is illegal."""
        return jnp.moveaxis(self.by_action, 0, -1)

    @property
    def probs(self) -> Float[Array, "*B N A"]:
        """The probability of each action."""
        return jnp.exp(self.log_probs)

    def sample(self, key: PRNGKeyArray) -> Int[Array, "*B N"]:
        """Inverts the distribution function: one uniform number a sample, a tenth of the time of
        one Gumbel number an action. Sums run in order, so that an action of probability 0 adds
        nothing and can never be drawn."""
        probs = jnp.exp(self.by_action)
        uniform = jax.random.uniform(key, probs.shape[1:])
        if len(probs) > _UNROLLED:
            last = jnp.moveaxis(probs, 0, -1)
            return _invert(last, jnp.cumsum(last, -1), uniform)
        sums = list(itertools.accumulate(probs))
        point = uniform * sums[-1]
        return jnp.stack([point >= s for s in sums]).sum(0, dtype=jnp.int32)

    def mode(self) -> Int[Array, "*B N"]:
        return jnp.argmax(self.by_action, 0)

    def log_prob(self, action: Int[Array, "*B N"]) -> Float[Array, "*B N"]:
        number = jnp.arange(len(self.by_action)).reshape(-1, *(1 for _ in action.shape))
        return jnp.where(action == number, self.by_action, 0.0).sum(0)

    def entropy(self) -> Float[Array, "*B N"]:
        return -(jnp.exp(self.by_action) * self.by_action).sum(0)

    def kl(self, other: "Categorical") -> Float[Array, "*B N"]:
        return (jnp.exp(self.by_action) * (self.by_action - other.by_action)).sum(0)


def _taken(values: Float[Array, "*B A"], action: Int[Array, "*B"]) -> Float[Array, "*B"]:
    """The entry of the action that was taken."""
    return jnp.where(action[..., None] == jnp.arange(values.shape[-1]), values, 0.0).sum(-1)


def _invert(
    probs: Float[Array, "*B A"], sums: Float[Array, "*B A"], uniform: Float[Array, "*B"]
) -> Int[Array, "*B"]:
    """The first possible action whose running sum is above a share `uniform` of the whole. Where a
    device adds each sum in an order of its own, they may fall by a rounding, or rise where nothing
    was added."""
    possible = probs > 0
    point = uniform * jnp.where(possible, sums, 0.0).max(-1)
    rank = jnp.where(possible, jnp.where(sums > point[..., None], 2, 1), 0)
    return jnp.argmax(rank, -1).astype(jnp.int32)


class FactoredCategorical(Distribution):
    """An independent softmax over the legal options of each factor. What an agent lacks counts
    for nothing: its one option is certain."""

    choice: Categorical  # log_probs [*B N F A]

    def __init__(
        self,
        space: Factored,
        logits: Float[Array, "*B N FA"],
        action_mask: Bool[Array, "*B N FA"] | None = None,
    ):
        mask = _mask(space, action_mask, logits.shape[:-1])
        self.choice = Categorical(space.split(logits), None if mask is None else space.split(mask))

    @property
    def log_probs(self) -> Float[Array, "*B N F A"]:
        """The logarithm of the probability of each option; about -1e9 where it is illegal."""
        return self.choice.log_probs

    @property
    def probs(self) -> Float[Array, "*B N F A"]:
        """The probability of each option of each factor."""
        return self.choice.probs

    def sample(self, key: PRNGKeyArray) -> Int[Array, "*B N F"]:
        return self.choice.sample(key)

    def mode(self) -> Int[Array, "*B N F"]:
        return self.choice.mode()

    def log_prob(self, action: Int[Array, "*B N F"]) -> Float[Array, "*B N"]:
        return self.choice.log_prob(action).sum(-1)

    def entropy(self) -> Float[Array, "*B N"]:
        return self.choice.entropy().sum(-1)

    def kl(self, other: "FactoredCategorical") -> Float[Array, "*B N"]:
        return self.choice.kl(other.choice).sum(-1)


class EpsilonGreedy(Distribution):
    """The legal action of highest value, or with probability `epsilon` any legal one."""

    q: Float[Array, "*B N A"]
    legal: Bool[Array, "*B N A"]
    epsilon: Float[Array, ""] | float

    @property
    def probs(self) -> Float[Array, "*B N A"]:
        """The probability of each action."""
        best = self.mode()[..., None] == jnp.arange(self.q.shape[-1])
        uniform = self.legal / jnp.maximum(self.legal.sum(-1, keepdims=True), 1)
        return (1 - self.epsilon) * best + self.epsilon * uniform

    @property
    def log_probs(self) -> Float[Array, "*B N A"]:
        """Their logarithms; -1e9 where an action is never taken."""
        probs = self.probs
        return jnp.where(probs > 0, jnp.log(jnp.where(probs > 0, probs, 1.0)), _ILLEGAL)

    def sample(self, key: PRNGKeyArray) -> Int[Array, "*B N"]:
        """One uniform number says whether to explore and, if so, by its place below `epsilon`,
        which of the legal actions to take."""
        draw = jax.random.uniform(key, self.q.shape[:-1])
        count = self.legal.sum(-1)
        rank = (draw / jnp.maximum(self.epsilon, 1e-6) * count).astype(jnp.int32)
        rank = jnp.minimum(rank, count - 1)
        explored = (jnp.cumsum(self.legal, -1) <= rank[..., None]).sum(-1)
        return jnp.where(draw < self.epsilon, explored, self.mode())

    def mode(self) -> Int[Array, "*B N"]:
        return jnp.argmax(jnp.where(self.legal, self.q, -jnp.inf), -1)

    def log_prob(self, action: Int[Array, "*B N"]) -> Float[Array, "*B N"]:
        return _taken(self.log_probs, action)

    def entropy(self) -> Float[Array, "*B N"]:
        return jax.scipy.special.entr(self.probs).sum(-1)

    def kl(self, other: "EpsilonGreedy") -> Float[Array, "*B N"]:
        return (self.probs * (self.log_probs - other.log_probs)).sum(-1)


# Actions in a box -------------------------------------------------------------------------------


class DiagonalNormal(Distribution):
    """Independent normals, one a dimension. Samples are not clipped: environments clip to their
    box, so that the density of what was drawn stays exact. `mask` says which dimensions exist."""

    mean: Float[Array, "*B N A"]
    log_std: Float[Array, "*B N A"]
    mask: Bool[Array, "N A"]

    @classmethod
    def in_box(
        cls, space: Box, out: Float[Array, "*B N A"], log_std: Float[Array, "... N A"]
    ) -> "DiagonalNormal":
        """Scales to a box: a network's output of 0 is its middle, of 1 its upper bound, and
        deviations count in half widths. `log_std` may lack leading axes of `out`."""
        log_std = jnp.broadcast_to(log_std + np.log(space.half_width), out.shape)
        return cls(space.from_unit(out), log_std, jnp.asarray(space.mask))

    def sample(self, key: PRNGKeyArray) -> Float[Array, "*B N A"]:
        return self.mean + jnp.exp(self.log_std) * jax.random.normal(key, self.mean.shape)

    def mode(self) -> Float[Array, "*B N A"]:
        return self.mean

    def log_prob(self, action: Float[Array, "*B N A"]) -> Float[Array, "*B N"]:
        return self.log_prob_of_noise((action - self.mean) * jnp.exp(-self.log_std))

    def log_prob_of_noise(self, z: Float[Array, "*B N A"]) -> Float[Array, "*B N"]:
        """The log-density of the action `mean + std * z`; exact also where `std` is so small that
        the sum cannot hold `z`."""
        density = -0.5 * (z**2 + jnp.log(2 * jnp.pi)) - self.log_std
        return self.total(density)

    def entropy(self) -> Float[Array, "*B N"]:
        return self.total(self.log_std + 0.5 * jnp.log(2 * jnp.pi * jnp.e))

    def kl(self, other: "DiagonalNormal") -> Float[Array, "*B N"]:
        change = self.log_std - other.log_std
        z = (self.mean - other.mean) * jnp.exp(-other.log_std)
        return self.total(0.5 * (jnp.expm1(2 * change) + z**2) - change)

    def total(self, each: Float[Array, "*B N A"]) -> Float[Array, "*B N"]:
        """The sum over the dimensions that exist."""
        return jnp.where(self.mask, each, 0.0).sum(-1)


class TanhNormal(Distribution):
    r"""A normal squashed into a box: $a = c + h \tanh(x)$ with $x \sim N(\mu, \sigma)$ in each
    dimension, $c$ the middle and $h$ half the width of the box (Haarnoja et al. 2018,
    arXiv:1801.01290, appendix C).

    $$\log p(a) = \log N(x; \mu, \sigma) - \log h - \log(1 - \tanh^2 x)$$
    """

    normal: DiagonalNormal
    center: Float[Array, "N A"]
    half_width: Float[Array, "N A"]

    @classmethod
    def in_box(
        cls, space: Box, mean: Float[Array, "*B N A"], log_std: Float[Array, "... N A"]
    ) -> "TanhNormal":
        """`mean` and `log_std` are those of x, before tanh. `log_std` may lack leading axes."""
        log_std = jnp.broadcast_to(log_std, mean.shape)
        normal = DiagonalNormal(mean, log_std, jnp.asarray(space.mask))
        return cls(normal, jnp.asarray(space.center), jnp.asarray(space.half_width))

    def sample(self, key: PRNGKeyArray) -> Float[Array, "*B N A"]:
        """Reparametrised: gradients flow through the action into mean and width."""
        return self._squash(self.normal.sample(key))

    def sample_and_log_prob(
        self, key: PRNGKeyArray
    ) -> tuple[Float[Array, "*B N A"], Float[Array, "*B N"]]:
        """An action and its log-density. Use this where both are needed: near its bounds the action
        alone has lost most digits of x."""
        z = jax.random.normal(key, self.normal.mean.shape)
        x = self.normal.mean + jnp.exp(self.normal.log_std) * z
        stretch = self.normal.total(jnp.log(self.half_width) + _log_slope(x))
        return self._squash(x), self.normal.log_prob_of_noise(z) - stretch

    def mode(self) -> Float[Array, "*B N A"]:
        """The squashed mean: the median of each dimension, not the point of highest density."""
        return self._squash(self.normal.mean)

    def log_prob(self, action: Float[Array, "*B N A"]) -> Float[Array, "*B N"]:
        """Of an action in the box; at or beyond a bound, of the last number inside of it."""
        most = 1 - float(jnp.finfo(action.dtype).eps)
        x = jnp.arctanh(jnp.clip((action - self.center) / self.half_width, -most, most))
        stretch = self.normal.total(jnp.log(self.half_width) + _log_slope(x))
        return self.normal.log_prob(x) - stretch

    def entropy(self) -> Float[Array, "*B N"]:
        """By Gauss-Hermite quadrature: within 0.001 nats a dimension for deviations of x up to 2,
        and within 0.1 up to 7."""
        nodes, weights = _hermite()
        std = jnp.exp(self.normal.log_std)[..., None]
        slope = (_log_slope(self.normal.mean[..., None] + std * nodes) * weights).sum(-1)
        return self.normal.entropy() + self.normal.total(jnp.log(self.half_width) + slope)

    def kl(self, other: "TanhNormal") -> Float[Array, "*B N"]:
        """That of the normals underneath: squashing both by one map changes nothing."""
        return self.normal.kl(other.normal)

    def _squash(self, x: Float[Array, "*B N A"]) -> Float[Array, "*B N A"]:
        return self.center + self.half_width * jnp.tanh(x)


def _log_slope(x: Float[Array, "*B"]) -> Float[Array, "*B"]:
    r"""$\log(1 - \tanh^2 x)$, in a form that overflows nowhere."""
    return 2 * (jnp.log(2.0) - x - jax.nn.softplus(-2 * x))


@functools.cache
def _hermite() -> tuple[np.ndarray, np.ndarray]:
    """Points of a standard normal and their weights, which sum to 1."""
    points, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    return points.astype(np.float32), (weights / weights.sum()).astype(np.float32)


# What a network's output means ------------------------------------------------------------------


def action_distribution(
    space: ActionSpace,
    out: Float[Array, "*B N A"],
    action_mask: Bool[Array, "*B N A"] | None = None,
    log_std: Float[Array, "... N A"] | None = None,
) -> Distribution:
    """The distribution over actions that a network's output stands for.

    Args:
        space: the actions; A is its `size`.
        out: logits of discrete actions or of the options of factors; of a box, where the mean
            lies: 0 in its middle, 1 at its upper bound.
        action_mask: `TimeStep.action_mask`. What does not exist is never drawn, with or without.
        log_std: of a box, the logarithm of the deviation in half widths of the box; it may lack
            leading axes of `out`.
    """
    if isinstance(space, Box):
        assert log_std is not None
        return DiagonalNormal.in_box(space, out, log_std)
    if isinstance(space, Factored):
        return FactoredCategorical(space, out, action_mask)
    return Categorical(out, _mask(space, action_mask, out.shape[:-1]))


def _mask(
    space: Discrete | Factored, action_mask: Bool[Array, "*B N A"] | None, shape: tuple[Any, ...]
) -> Bool[Array, "*B N A"] | None:
    """The legal actions, or `None` where all are."""
    if action_mask is None and space.mask.all():
        return None
    return legal_actions(space, action_mask, shape)
