"""What a policy is worth in a world of the host: whole episodes, played by worker processes."""

import itertools
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Bool, PRNGKeyArray

from shoal.core.algorithm import Carry, Policy, where_done
from shoal.core.env import paid, to_act_on
from shoal.core.spaces import ActionSpace
from shoal.core.terminal import say
from shoal.envs.host.env import HostStep
from shoal.envs.host.steps import acting_key, draw_seeds, seeds_of, timestep_of
from shoal.envs.host.vector import HostVector
from shoal.envs.host.world import HostWorld
from shoal.training.evaluation import Returns, apart, random_action
from shoal.training.on_device import batch_carry

TOGETHER = 16  # most environments that are stepped at once
PATIENCE = 1_000  # steps without the end of an episode, after which the user is told
AHEAD = 256  # steps whose random numbers are drawn together
Act = Callable[[HostStep, Carry, np.ndarray, np.ndarray], tuple[Array, Carry]]


class HostStage:
    """Plays episodes in worker processes, which live until `close`."""

    def __init__(self, world: HostWorld, episodes: int, members: int = 1):
        self.world, self.episodes, self.members = world, episodes, members
        self._vector: HostVector | None = None
        self._compiled: dict[Any, Any] = {}

    def play(self, policies: Policy, key: PRNGKeyArray) -> tuple[Returns, Returns]:
        """Greedy and sampled, `[K, E]`, of policies whose arrays have a leading axis K."""
        greedy, sampled = jax.random.split(key)
        each = [
            (
                self.play_policy(policy, greedy, greedy=True),
                self.play_policy(policy, sampled, greedy=False),
            )
            for policy in apart(policies, self.members)
        ]
        return jax.tree.map(lambda *xs: np.stack(xs), *each)

    def play_policy(self, policy: Policy, key: PRNGKeyArray, *, greedy: bool = True) -> Returns:
        """Returns `[E]` of a policy: its likeliest actions if `greedy`, else samples."""
        arrays, static = eqx.partition(policy, eqx.is_array)
        leaves, structure = jax.tree.flatten(arrays)
        kind = (structure, greedy)
        if kind not in self._compiled:
            rebuild = partial(_rebuild, structure, static)
            self._compiled[kind] = jax.jit(partial(_act, rebuild, greedy, self.world.spec.action))
        act = partial(self._compiled[kind], leaves)
        return self._episodes(act, batch_carry(policy.initial_carry(), self.num_envs), key)

    def play_random(self, key: PRNGKeyArray) -> Returns:
        """Returns `[E]` of uniformly random legal actions."""
        space, shape = self.world.spec.action, (self.num_envs, self.world.spec.num_agents)
        draw = jax.jit(lambda mask, seed: random_action(space, shape, mask, acting_key(seed)))
        return self._episodes(
            lambda shown, _, __, seed: (draw(shown.action_mask, seed), None), None, key
        )

    @property
    def num_envs(self) -> int:
        """Environments that are stepped together."""
        return min(self.episodes, TOGETHER)

    def _episodes(self, act: Act, carry: Carry, key: PRNGKeyArray) -> Returns:
        """Each environment plays its own share of the episodes: were it who ends first, short
        episodes would count more often."""
        self._vector = vector = self._vector or self.world.vector(self.num_envs)
        n, left = self.num_envs, np.full(self.num_envs, self.episodes // self.num_envs)
        left[: self.episodes % n] += 1
        shown, done, finished = vector.reset(seeds_of(key, n)), np.ones(n, bool), []
        returns = np.zeros(shown.reward.shape)
        for step, seed in enumerate(_seeds(key)):
            if not left.any():
                break
            if step == PATIENCE and not finished and self.world.endless:
                self._warn()
            action, carry = act(shown, carry, done, seed)
            before = shown
            successor, shown = vector.step(np.asarray(action))
            done = successor.done
            returns += paid(before, successor)
            counted = done & (left > 0)
            finished += [returns[i].copy() for i in np.flatnonzero(counted)]
            left[counted] -= 1
            returns[done] = 0.0
        return Returns(np.stack(finished).astype(np.float32), {})

    def _warn(self) -> None:
        say(
            f"warning: no episode of {self.world.task} has ended in {PATIENCE:,} steps of an "
            "evaluation, and it names no time limit: they are cut after "
            f"{self.world.spec.horizon:,}; --env.horizon cuts them sooner"
        )

    def close(self) -> None:
        """Ends the workers."""
        if self._vector is not None:
            self._vector.close()
            self._vector = None

    def __enter__(self) -> "HostStage":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _seeds(key: PRNGKeyArray) -> Iterator[np.ndarray]:
    """Of one step after the other, for ever."""
    for block in itertools.count():
        yield from draw_seeds(jax.random.fold_in(key, block), AHEAD)


def _rebuild(structure: Any, static: Policy, leaves: list[Array]) -> Policy:
    return eqx.combine(jax.tree.unflatten(structure, leaves), static)


def _act(
    rebuild: Callable[[list[Array]], Policy],
    greedy: bool,
    space: ActionSpace,
    leaves: list[Array],
    shown: Any,
    carry: Carry,
    done: Bool[Array, "B"],
    seed: Array,
) -> tuple[Array, Carry]:
    """The action of a policy in all environments; new episodes begin with a fresh carry."""
    policy = rebuild(leaves)
    carry = where_done(done, batch_carry(policy.initial_carry(), done.shape[0]), carry)
    key_policy, key_sample = jax.random.split(acting_key(seed))
    timestep = to_act_on(timestep_of(shown, space))
    distribution, carry = policy(timestep, carry, key_policy)
    return (distribution.mode() if greedy else distribution.sample(key_sample)), carry
