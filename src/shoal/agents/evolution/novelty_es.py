r"""Novelty search by evolution strategies: climb towards what has not been done before (NS-ES), or
towards that and reward at once (NSR-ES), where reward alone leads astray.

$$
\begin{aligned}
\theta &\leftarrow \theta + \mathrm{Adam}\Big(\frac{1}{P \sigma}
  \sum_j (v\, n_j + (1 - v)\, w_j)\, \epsilon_j - \lambda \theta\Big) \\
N(b) &= \text{mean distance of } b \text{ to its } k \text{ nearest behaviours in an archive}
\end{aligned}
$$

where n_j and w_j are the centred ranks of member j's novelty N(b_j) and of its return; v is 1 for
NS-ES and 1/2 for NSR-ES. Conti et al. 2018, arXiv:1712.06560.

Two things differ from the paper. Each generation the archive takes the behaviour of the member that
is nearest to the mean of all, and not that of one more episode of the mean. And there is one search
with its own archive, not several that share one: the paper's meta-population of 1.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from shoal.agents.evolution.evolution import EvolutionState
from shoal.agents.evolution.openai_es import OpenAIES, ranks
from shoal.agents.evolution.population import of_members
from shoal.core.algorithm import Metrics, Trajectory
from shoal.core.env import EnvSpec
from shoal.core.errors import unknown
from shoal.core.limits import Count, Fraction
from shoal.math.novelty import novelty


class Archive(eqx.Module):
    """What has been done in each group's search; when it is full, the oldest makes room."""

    behaviours: Float[Array, "G C K"]
    added: Int[Array, "G"]

    def novelty(self, behaviours: Float[Array, "P G K"], nearest: int) -> Float[Array, "P G"]:
        """Of each member, in the units of behaviours."""
        return jax.vmap(lambda b, a, n: novelty(b, a, n, nearest), (1, 0, 0), 1)(
            behaviours, self.behaviours, self.added
        )

    def add(self, behaviours: Float[Array, "P G K"]) -> "Archive":
        """With the most typical behaviour of a generation; unless none of it is finite."""

        def one(archive: Array, added: Array, behaviours: Array) -> tuple[Array, Array]:
            finite = jnp.isfinite(behaviours).all(1)
            mean = jnp.where(finite[:, None], behaviours, 0.0).sum(0) / jnp.maximum(finite.sum(), 1)
            apart = jnp.linalg.norm(behaviours - mean, axis=1)
            typical = behaviours[jnp.where(finite, apart, jnp.inf).argmin()]
            with_it = archive.at[added % len(archive)].set(typical)
            some = finite.any()
            return jnp.where(some, with_it, archive), added + some

        return Archive(*jax.vmap(one, (0, 0, 1))(self.behaviours, self.added, behaviours))


class NoveltyES(OpenAIES):
    """Evolution strategies that are paid for novelty as well as for reward."""

    novelty_weight: Fraction = 1.0
    """Weight of the ranks of novelty; the rest is that of the ranks of reward."""
    nearest: Count = eqx.field(static=True, default=10)
    """How many behaviours of the archive a behaviour is compared with."""
    capacity: Count = eqx.field(static=True, default=1000)
    """Behaviours that the archive holds, one a generation."""
    behaviour: tuple[str, ...] = eqx.field(static=True, default=())
    """Metrics of the environment that make up a behaviour, as they are when an episode ends. With
    none it is the observation that an agent last acted on, averaged over the agents of a group."""

    def check(self, spec: EnvSpec) -> None:
        super().check(spec)
        names = [name for name, _ in spec.metrics]
        for name in self.behaviour:
            if name not in names:
                raise unknown(f"metric of {spec.name}", name, names)

    def start(self, spec: EnvSpec, mean: Float[Array, "G D"]) -> Archive:
        groups, size = len(mean), len(self.behaviour) or spec.obs_size
        return Archive(jnp.zeros((groups, self.capacity, size)), jnp.zeros(groups, jnp.int32))

    def behaviours(
        self, state: EvolutionState, trajectory: Trajectory, members: int
    ) -> Float[Array, "M G K"]:
        groups = state.params["mean"].network.groups
        return of_members(self.endings(trajectory), groups, members)

    def endings(self, trajectory: Trajectory) -> Float[Array, "B N K"]:
        """How each agent's episodes ended, on average over those that did; where none has, how it
        stands with the one that goes on."""
        steps = trajectory.transitions
        shown, counts = steps.timestep.obs, steps.timestep.active
        if self.behaviour:
            told = jnp.stack([steps.successor.metrics[name] for name in self.behaviour], -1)
            shown = jnp.broadcast_to(told[:, :, None], (*counts.shape, told.shape[-1]))
            counts = jnp.ones_like(counts)

        def follow(loop: Any, step: Any) -> tuple[Any, None]:
            (last, total), (shown, counts, done) = loop, step
            last = jnp.where(counts[..., None], shown, last)
            return (last, total + jnp.where(done[:, None, None], last, 0.0)), None

        done = steps.successor.done
        start = (jnp.zeros(shown.shape[1:]),) * 2
        (last, total), _ = jax.lax.scan(follow, start, (shown, counts, done))
        episodes = done.sum(0)[:, None, None]
        return jnp.where(episodes > 0, total / jnp.maximum(episodes, 1), last)

    def step(
        self,
        state: EvolutionState,
        noise: Float[Array, "P G D"],
        fitness: Float[Array, "P G"],
        behaviours: Float[Array, "P G K"] | None,
    ) -> tuple[Float[Array, "G D"], Any, Metrics]:
        assert behaviours is not None
        novel = state.search.novelty(behaviours, self.nearest)
        novel = jnp.where(jnp.isnan(fitness), jnp.nan, novel)  # of who was lost, too
        weights = self.novelty_weight * ranks(novel) + (1 - self.novelty_weight) * ranks(fitness)
        descent = self.descent(state, noise, weights)
        return descent, state.search.add(behaviours), {"novelty_mean": jnp.nanmean(novel)}


def nses(**overrides: Any) -> NoveltyES:
    """Novelty alone. `overrides` are fields of `NoveltyES`.

    When to use it:
        Rewards that lead into a trap: what has not been done before is sought, and reward is
        ignored.

    What breaks it:
        Behaviours that say nothing of the task: `behaviour` names the metrics to tell them by, else
        it is the last observation. Reward comes by chance.
    """
    return NoveltyES(**{"novelty_weight": 1.0, **overrides})


def nsres(**overrides: Any) -> NoveltyES:
    """Novelty and reward alike. `overrides` are fields of `NoveltyES`.

    When to use it:
        As `nses`, where reward should count as much as novelty.

    What breaks it:
        As `nses`; where nothing misleads, half of each step is spent on novelty.
    """
    return NoveltyES(**{"novelty_weight": 0.5, **overrides})
