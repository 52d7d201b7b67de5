"""What a policy is worth in a world of the host: whole episodes, played by worker processes."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, PRNGKeyArray

from shoal.core.algorithm import Carry, Policy, where_done
from shoal.interop.host.game import Shown
from shoal.interop.host.vector import HostVector
from shoal.interop.host.world import HostWorld
from shoal.training.evaluation import Returns, random_action
from shoal.training.on_device import batch_carry
from shoal.training.on_host import seeds_of

TOGETHER = 16  # most environments that are stepped at once
Act = Callable[[Shown, Carry, np.ndarray, PRNGKeyArray], tuple[Array, Carry]]


class HostStage:
    """Plays episodes in worker processes, which live until `close`."""

    def __init__(self, world: HostWorld, episodes: int):
        self.world, self.episodes = world, episodes
        self._vector: HostVector | None = None

    def play_policy(self, policy: Policy, key: PRNGKeyArray, *, greedy: bool = True) -> Returns:
        """Returns `[E]` of a policy: its likeliest actions if `greedy`, else samples."""

        def act(shown: Shown, carry: Carry, done: np.ndarray, key: PRNGKeyArray) -> Any:
            return _act(policy, shown, carry, done, key, greedy)

        return self.play(act, batch_carry(policy.initial_carry(), self.num_envs), key)

    def play_random(self, key: PRNGKeyArray) -> Returns:
        """Returns `[E]` of uniformly random legal actions."""
        space, num_agents = self.world.spec.action, self.world.spec.num_agents
        draw = jax.jit(lambda mask, k: random_action(space, (self.num_envs, num_agents), mask, k))
        return self.play(lambda shown, _, __, k: (draw(shown.action_mask, k), None), None, key)

    @property
    def num_envs(self) -> int:
        """Environments that are stepped together."""
        return min(self.episodes, TOGETHER)

    def play(self, act: Act, carry: Carry, key: PRNGKeyArray) -> Returns:
        """Each environment plays its own share of the episodes: were it who ends first, short
        episodes would count more often."""
        self._vector = vector = self._vector or self.world.vector(self.num_envs)
        n, left = self.num_envs, np.full(self.num_envs, self.episodes // self.num_envs)
        left[: self.episodes % n] += 1
        shown, done, finished = vector.reset(seeds_of(key, n)), np.ones(n, bool), []
        returns = np.zeros(shown.reward.shape)
        t = 0
        while left.any():
            action, carry = act(shown, carry, done, jax.random.fold_in(key, t))
            successor, shown = vector.step(np.asarray(action))
            done = successor.truncated | successor.terminated.all(-1)
            returns += successor.reward
            finished += [returns[i].copy() for i in np.flatnonzero(done & (left > 0))]
            left[done & (left > 0)] -= 1
            returns[done] = 0.0
            t += 1
        return Returns(np.stack(finished).astype(np.float32), {})

    def close(self) -> None:
        """Ends the workers."""
        if self._vector is not None:
            self._vector.close()
            self._vector = None

    def __enter__(self) -> "HostStage":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@eqx.filter_jit
def _act(
    policy: Policy, shown: Any, carry: Carry, done: Bool[Array, "B"], key: PRNGKeyArray, greedy: bool
) -> tuple[Array, Carry]:
    """The action of a policy in all environments; new episodes begin with a fresh carry."""
    carry = where_done(done, batch_carry(policy.initial_carry(), done.shape[0]), carry)
    key_policy, key_sample = jax.random.split(key)
    obs = jnp.asarray(shown.obs)
    distribution, carry = policy(obs, carry, action_mask=shown.action_mask, key=key_policy)
    return (distribution.mode() if greedy else distribution.sample(key_sample)), carry
