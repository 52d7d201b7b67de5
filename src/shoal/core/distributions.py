"""Action distributions over all agents at once, with illegal and padded actions left out."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

_ILLEGAL = -1e9


class Distribution(eqx.Module):
    """A distribution over the actions of every agent, independent between agents."""

    @abc.abstractmethod
    def sample(self, key: PRNGKeyArray) -> Array: ...

    @abc.abstractmethod
    def mode(self) -> Array: ...

    @abc.abstractmethod
    def log_prob(self, action: Array) -> Float[Array, "*B N"]: ...

    @abc.abstractmethod
    def entropy(self) -> Float[Array, "*B N"]: ...


class Categorical(Distribution):
    """Softmax over legal actions. `log_probs` is normalised; an illegal action has about -1e9."""

    log_probs: Float[Array, "*B N A"]

    def __init__(self, logits: Float[Array, "*B N A"], mask: Bool[Array, "*B N A"] | None = None):
        if mask is not None:
            logits = jnp.where(mask, logits, _ILLEGAL)
        self.log_probs = jax.nn.log_softmax(logits)

    def sample(self, key: PRNGKeyArray) -> Int[Array, "*B N"]:
        """Inverts the distribution function: one uniform number a sample, a tenth of the time of
        one Gumbel number an action. Sums run in order, so that an action of probability 0 adds
        nothing and can never be drawn."""
        probs = jnp.exp(self.log_probs)
        sums = [probs[..., 0]]
        for k in range(1, probs.shape[-1]):
            sums.append(sums[-1] + probs[..., k])
        point = jax.random.uniform(key, probs.shape[:-1]) * sums[-1]
        return jnp.stack([point >= s for s in sums]).sum(0, dtype=jnp.int32)

    def mode(self) -> Int[Array, "*B N"]:
        return jnp.argmax(self.log_probs, -1)

    def log_prob(self, action: Int[Array, "*B N"]) -> Float[Array, "*B N"]:
        chosen = action[..., None] == jnp.arange(self.log_probs.shape[-1])
        return jnp.where(chosen, self.log_probs, 0.0).sum(-1)

    def entropy(self) -> Float[Array, "*B N"]:
        return -(jnp.exp(self.log_probs) * self.log_probs).sum(-1)


class DiagonalNormal(Distribution):
    """Independent normals, one a dimension. Samples are not clipped: environments clip to their
    box, so that the density of what was drawn stays exact. `mask` says which dimensions exist."""

    mean: Float[Array, "*B N A"]
    log_std: Float[Array, "*B N A"]
    mask: Bool[Array, "N A"]

    def sample(self, key: PRNGKeyArray) -> Float[Array, "*B N A"]:
        return self.mean + jnp.exp(self.log_std) * jax.random.normal(key, self.mean.shape)

    def mode(self) -> Float[Array, "*B N A"]:
        return self.mean

    def log_prob(self, action: Float[Array, "*B N A"]) -> Float[Array, "*B N"]:
        z = (action - self.mean) * jnp.exp(-self.log_std)
        density = -0.5 * (z**2 + jnp.log(2 * jnp.pi)) - self.log_std
        return jnp.where(self.mask, density, 0.0).sum(-1)

    def entropy(self) -> Float[Array, "*B N"]:
        each = self.log_std + 0.5 * jnp.log(2 * jnp.pi * jnp.e)
        return jnp.where(self.mask, each, 0.0).sum(-1)
