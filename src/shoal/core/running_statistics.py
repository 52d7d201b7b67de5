r"""Means and deviations of what a training has seen so far, group by group.

With $s$ the share of a new batch of mean $m$ and variance $v$ (Chan et al. 1979):

$$\mu \leftarrow \mu + s (m - \mu), \qquad
\sigma^2 \leftarrow (1 - s) \sigma^2 + s v + s (1 - s) (m - \mu)^2$$
"""

from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from shoal.core.parallel import group_sum, pmean


class Moments(eqx.Module):
    """How much a batch weighs in each of G groups, and its mean and variance of D numbers."""

    weight: Float[Array, "G"]
    mean: Float[Array, "G D"]
    variance: Float[Array, "G D"]

    @staticmethod
    def of_all(parts: Sequence["Moments"]) -> "Moments":
        """Those of several batches together; the weight is that of one of them, in the mean, as it
        is for devices that share a batch."""
        weight, mean, variance = (
            jnp.stack([getattr(part, name) for part in parts])
            for name in ("weight", "mean", "variance")
        )
        share = (weight / jnp.maximum(weight.sum(0), 1e-8))[..., None]
        whole = (share * mean).sum(0)
        spread = (share * (variance + (mean - whole) ** 2)).sum(0)
        return Moments(weight.mean(0), whole, spread)


class RunningStatistics(eqx.Module):
    """The mean and variance of D numbers in each of G groups of agents.

    Without a `rate` all samples weigh the same. With one it is an exponential average whose start
    is corrected for, as in van Hasselt et al. 2016 (arXiv:1602.07714) without the rescaling of
    weights. Before the first sample nothing is scaled.
    """

    weight: Float[Array, "G"]
    mean: Float[Array, "G D"]
    variance: Float[Array, "G D"]
    of_agent: tuple[int, ...] = eqx.field(static=True)
    rate: float | None = eqx.field(static=True)
    least: float = eqx.field(static=True)  # the smallest variance that is believed

    @staticmethod
    def empty(
        of_agent: tuple[int, ...], size: int, *, rate: float | None = None, least: float = 1e-6
    ) -> "RunningStatistics":
        """Nothing seen yet. `of_agent` is the group of each agent."""
        zeros = jnp.zeros((max(of_agent) + 1, size))
        return RunningStatistics(zeros[:, 0], zeros, zeros, of_agent, rate, least)

    def _of_agents(self) -> tuple[Float[Array, "N D"], Float[Array, "N D"]]:
        """Mean and standard deviation of each agent's group."""
        variance = jnp.where(self.weight[:, None] > 0, self.variance, 1.0)
        deviation = jnp.sqrt(jnp.maximum(variance, self.least))
        of_agent = jnp.array(self.of_agent)
        return self.mean[of_agent], deviation[of_agent]

    def normalise(self, x: Float[Array, "*B N D"]) -> Float[Array, "*B N D"]:
        """At mean 0, deviation 1."""
        mean, deviation = self._of_agents()
        return (x - mean) / deviation

    def restore(self, x: Float[Array, "*B N D"]) -> Float[Array, "*B N D"]:
        """The inverse of `normalise`."""
        mean, deviation = self._of_agents()
        return x * deviation + mean

    def update(
        self, x: Float[Array, "T B N D"], weight: Float[Array, "T B N"]
    ) -> "RunningStatistics":
        """Joins a batch, over all devices."""
        return self.join(self.moments(x, weight))

    def moments(self, x: Float[Array, "T B N D"], weight: Float[Array, "T B N"]) -> Moments:
        """Those of a batch, over all devices."""
        of_agent, groups = self.of_agent, len(self.weight)
        x = jnp.where(weight[..., None] > 0, x, 0.0)  # a NaN that weighs nothing is not seen
        added = pmean(group_sum(weight.sum((0, 1)), of_agent, groups))
        total = jnp.maximum(added, 1e-8)[:, None]

        def mean_of(x: Float[Array, "T B N D"]) -> Float[Array, "G D"]:
            return pmean(group_sum((x * weight[..., None]).sum((0, 1)), of_agent, groups)) / total

        mean = mean_of(x)
        return Moments(added, mean, mean_of((x - mean[jnp.array(of_agent)]) ** 2))

    def join(self, seen: Moments) -> "RunningStatistics":
        """Joins what was seen. A group in which a sample of weight is not finite, or none has any,
        stays as it was."""
        added, mean, variance = seen.weight, seen.mean, seen.variance
        if self.rate is None:
            whole = self.weight + added
            share = added / jnp.maximum(whole, 1e-8)
        else:
            whole = (1 - self.rate) * self.weight + self.rate
            share = self.rate / whole
        share, step = share[:, None], mean - self.mean
        joined = (
            whole,
            self.mean + share * step,
            (1 - share) * self.variance + share * variance + share * (1 - share) * step**2,
        )
        usable = (added > 0) & jnp.isfinite(variance).all(-1)
        old = (self.weight, self.mean, self.variance)
        weight, mean, variance = (
            jnp.where(usable.reshape(-1, *[1] * (b.ndim - 1)), a, b) for a, b in zip(joined, old)
        )
        return RunningStatistics(weight, mean, variance, self.of_agent, self.rate, self.least)
