r"""Layers that are normalised by the batch that they see, for critics without target networks.

    y = s ((x - m) / sqrt(v + epsilon) * r + d) + b

In training m and v are the mean and variance of the batch, r = 1 and d = 0. After `WARM_UP` batches

    r = clip(sqrt(v + epsilon) / sqrt(v' + epsilon), 1/3, 3)
    d = clip((m - m') / sqrt(v' + epsilon), -5, 5)

without a gradient, with m' and v' the running statistics, m' <- 0.99 m' + 0.01 m: batch
renormalisation. Outside training m' and v' take the place of m and v.
Ioffe and Szegedy 2015, arXiv:1502.03167; Ioffe 2017, arXiv:1702.03275; numbers as in CrossQ, Bhatt
et al. 2024, arXiv:1902.05605.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from shoal.core.parallel import pmean
from shoal.nn.mlp import ACTIVATIONS, MLP, Activation

EPSILON = 1e-3
RATE = 0.01  # of a new batch in the running statistics
WARM_UP = 100_000
MOST_R, MOST_D = 3.0, 5.0


class Statistics(eqx.Module):
    """What a layer has seen. It lies among the parameters, so that it is stored, batched and shared
    as they are, and no gradient moves it."""

    mean: Float[Array, "D"]
    variance: Float[Array, "D"]
    batches: Float[Array, ""]

    def joined(
        self, mean: Float[Array, "D"], variance: Float[Array, "D"], total: Float[Array, ""]
    ) -> "Statistics":
        """Also of a batch of that total weight, if it has any and its numbers are finite."""
        usable = (total > 0) & jnp.isfinite(mean).all() & jnp.isfinite(variance).all()
        new = Statistics(
            self.mean + RATE * (mean - self.mean),
            self.variance + RATE * (variance - self.variance),
            self.batches + 1,
        )
        return jax.tree.map(lambda a, b: jnp.where(usable, a, b), new, self)


class BatchNorm(eqx.Module):
    """Each of D numbers at a mean and deviation that are learned, over the samples of a batch."""

    scale: Float[Array, "D"]
    bias: Float[Array, "D"]
    seen: Statistics

    def __init__(self, size: int):
        self.scale, self.bias = jnp.ones(size), jnp.zeros(size)
        self.seen = Statistics(jnp.zeros(size), jnp.ones(size), jnp.float32(0))

    def __call__(self, x: Float[Array, "M D"]) -> Float[Array, "M D"]:
        seen = jax.lax.stop_gradient(self.seen)
        return self.scale * (x - seen.mean) / jnp.sqrt(seen.variance + EPSILON) + self.bias

    def train(
        self, x: Float[Array, "M D"], weight: Float[Array, "M"]
    ) -> tuple[Float[Array, "M D"], Statistics]:
        """By the batch's own statistics, of all devices; and the running ones after it. A sample of
        weight 0 is not seen."""
        total = pmean(weight.sum())

        def mean_of(x: Float[Array, "M D"]) -> Float[Array, "D"]:
            return pmean((x * weight[:, None]).sum(0)) / jnp.maximum(total, 1e-8)

        mean = mean_of(x)
        variance = mean_of((x - mean) ** 2)
        deviation = jnp.sqrt(variance + EPSILON)
        seen, m, s = jax.lax.stop_gradient((self.seen, mean, deviation))
        running, warm = jnp.sqrt(seen.variance + EPSILON), seen.batches >= WARM_UP
        r = jnp.where(warm, jnp.clip(s / running, 1 / MOST_R, MOST_R), 1.0)
        d = jnp.where(warm, jnp.clip((m - seen.mean) / running, -MOST_D, MOST_D), 0.0)
        out = self.scale * ((x - mean) / deviation * r + d) + self.bias
        return out, seen.joined(m, jax.lax.stop_gradient(variance), total)


class BatchNormMLP(eqx.Module):
    """Linear layers with an activation; what goes into each and what the last gives is normalised
    by its batch: a torso, not a head."""

    mlp: MLP
    norms: tuple[BatchNorm, ...]  # one more than layers

    def __init__(
        self, size_in: int, hidden: tuple[int, ...], activation: Activation, *, key: PRNGKeyArray
    ):
        self.mlp = MLP(size_in, hidden, activation, key=key)
        self.norms = tuple(BatchNorm(size) for size in (size_in, *hidden))

    @property
    def size_out(self) -> int:
        return self.mlp.size_out

    def __call__(self, x: Float[Array, "M in"]) -> Float[Array, "M out"]:
        x = self.norms[0](x)
        for layer, norm in zip(self.mlp.layers, self.norms[1:]):
            x = norm(ACTIVATIONS[self.mlp.activation](layer(x)))
        return x

    def train(
        self, x: Float[Array, "M in"], weight: Float[Array, "M"]
    ) -> tuple[Float[Array, "M out"], tuple[Statistics, ...]]:
        """By the batch's own statistics; and what each norm has then seen."""
        x, first = self.norms[0].train(x, weight)
        seen = [first]
        for layer, norm in zip(self.mlp.layers, self.norms[1:]):
            x, after = norm.train(ACTIVATIONS[self.mlp.activation](layer(x)), weight)
            seen.append(after)
        return x, tuple(seen)
