"""Shoal's worlds as PettingZoo's: every agent acts at once, spaces are each agent's own.

    env = shoal.to_pettingzoo(shoal.make("mpe/simple_spread"), render_mode="rgb_array")
    observations, infos = env.reset(seed=0)

Padding is gone: an agent's observation and actions have its own sizes. Terry et al., PettingZoo
(2021), arXiv:2009.14471.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from shoal.core.env import Env, TimeStep
from shoal.core.errors import UserError, not_installed, require, unknown
from shoal.core.spaces import ActionSpace, Box, Discrete

try:
    import gymnasium
    from pettingzoo import ParallelEnv
except ImportError as error:
    raise not_installed("PettingZoo", "pettingzoo") from error

RENDER_MODES = ("rgb_array", "human")
FRAMES_PER_SECOND = 10

_reset = eqx.filter_jit(lambda env, key: env.reset(key))
_step = eqx.filter_jit(lambda env, key, state, action: env.step(key, state, action))


def to_pettingzoo(env: Env, render_mode: str | None = None) -> "PettingZooEnv":
    """A world of Shoal's as a PettingZoo `ParallelEnv`; `parallel_to_aec` makes it an `AECEnv`.

    Where legal actions change from step to step, observations are dictionaries of `observation`
    and `action_mask`, as in PettingZoo's own classic games; of several factors, a tuple of one mask
    each, as `MultiDiscrete.sample` takes it. An agent that is not due to act has one legal action,
    which does nothing. `infos` hold the world's metrics, and `active`: an agent that has fallen
    while its team plays on stays among the agents and is not active.

    Args:
        env: the world.
        render_mode: `rgb_array`, `human` (a matplotlib window), or none.

    Raises:
        UserError: there is no such render mode.
    """
    return PettingZooEnv(env, render_mode)


class PettingZooEnv(ParallelEnv):
    """Steps one world, compiled. Worlds of one structure share the compiled program."""

    def __init__(self, env: Env, render_mode: str | None = None):
        if render_mode is not None and render_mode not in RENDER_MODES:
            raise unknown("render mode", render_mode, RENDER_MODES)
        self.env, self.spec, self.render_mode = env, env.spec, render_mode
        self.metadata = {
            "name": self.spec.name.replace("/", "_"),
            "render_modes": list(RENDER_MODES),
            "render_fps": FRAMES_PER_SECOND,
            "is_parallelizable": True,
        }
        self.possible_agents = list(self.spec.agents)
        self.agents: list[str] = []
        self._key = jax.random.key(int(np.random.SeedSequence().generate_state(1)[0]))
        self._state: Any = None
        self._window: Any = None
        _, first = jax.eval_shape(env.reset, self._key)
        self._masked = first.action_mask is not None and self._masks_change()
        space = self.spec.action
        self._own_spaces = [space.part((i,)) for i in range(self.spec.num_agents)]
        self.action_spaces = dict(zip(self.possible_agents, map(_action_space, self._own_spaces)))
        self.observation_spaces = {
            agent: self._observation_space(size, own)
            for agent, size, own in zip(self.possible_agents, self.spec.obs_sizes, self._own_spaces)
        }
        if self.spec.state_size:
            shape = (self.spec.state_size,)
            self.state_space = gymnasium.spaces.Box(-np.inf, np.inf, shape, np.float32)

    def observation_space(self, agent: str) -> gymnasium.Space:
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> gymnasium.Space:
        return self.action_spaces[agent]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """Starts an episode; with a seed, always the same one. `options` mean nothing here."""
        if seed is not None:
            self._key = jax.random.key(seed)
        self._key, key = jax.random.split(self._key)
        self._state, timestep = jax.device_get(_reset(self.env, key))
        each = zip(self.possible_agents, timestep.terminated | timestep.truncated)
        self.agents = [agent for agent, ended in each if not ended]
        self._timestep = timestep
        return self._observations(timestep), self._infos(timestep)

    def step(self, actions: dict[str, Any]) -> tuple[dict, dict, dict, dict, dict]:
        """One step of all living agents.

        Raises:
            UserError: no episode is running, an agent does not exist, or an action is outside its
                space. Nothing has changed then.
        """
        require(self._state is not None, "call reset before step")
        joint = self._joint(actions)
        self._key, key = jax.random.split(self._key)
        self._state, timestep = jax.device_get(_step(self.env, key, self._state, joint))
        self._timestep = timestep
        each = [(i, agent) for i, agent in enumerate(self.possible_agents) if agent in self.agents]
        rewards = {agent: float(timestep.reward[i]) for i, agent in each}
        terminated = {agent: bool(timestep.terminated[i]) for i, agent in each}
        cut = timestep.truncated & ~timestep.terminated
        truncated = {agent: bool(cut[i]) for i, agent in each}
        out = self._observations(timestep), rewards, terminated, truncated, self._infos(timestep)
        self.agents = [a for a in self.agents if not (terminated[a] or truncated[a])]
        return out

    def state(self) -> np.ndarray:
        """The global state: what a centralised critic sees; the observations, one after the other,
        where the world has none of its own."""
        if self.spec.state_size:
            return np.asarray(self._timestep.global_state)
        return np.concatenate([self._own(self._timestep, i) for i in range(self.spec.num_agents)])

    def render(self) -> np.ndarray | None:
        """A picture `[H, W, 3]` of bytes, or nothing where a window shows it."""
        if self.render_mode is None:
            gymnasium.logger.warn("render was called without a render_mode")
            return None
        from shoal.recording.raster import draw_picture

        state = jax.tree.map(jnp.asarray, self._state)
        image = np.asarray(draw_picture(self.env.draw(state)))
        if self.render_mode == "rgb_array":
            return image
        import matplotlib.pyplot as plt

        if self._window is None:
            figure, axes = plt.subplots()
            axes.axis("off")
            self._window = figure, axes.imshow(image)
        self._window[1].set_data(image)
        plt.pause(1 / FRAMES_PER_SECOND)
        return None

    def close(self) -> None:
        """Closes the window, if there is one."""
        if self._window is not None:
            import matplotlib.pyplot as plt

            plt.close(self._window[0])
            self._window = None

    def _masks_change(self) -> bool:
        """Whether some real action is illegal at a start: then masks are news, not padding."""
        _, first = jax.device_get(_reset(self.env, jax.random.key(0)))
        return not np.array_equal(first.action_mask, self.spec.action.mask)

    def _observation_space(self, size: int, own: ActionSpace) -> gymnasium.Space:
        seen = gymnasium.spaces.Box(-np.inf, np.inf, (size,), np.float32)
        if not self._masked:
            return seen
        assert not isinstance(own, Box)
        masks = [gymnasium.spaces.Box(0, 1, (int(n),), np.int8) for n in own.counts.flat]
        mask = masks[0] if isinstance(own, Discrete) else gymnasium.spaces.Tuple(masks)
        return gymnasium.spaces.Dict({"observation": seen, "action_mask": mask})

    def _own_mask(self, timestep: TimeStep, i: int) -> Any:
        """Agent `i`'s legal actions, without padding; a tuple of one mask for each factor."""
        space, own = self.spec.action, self._own_spaces[i]
        assert not isinstance(space, Box) and not isinstance(own, Box)
        mask = space.split(np.asarray(timestep.action_mask)[i].astype(np.int8))
        if isinstance(own, Discrete):
            return mask[: own.size]
        return tuple(row[:n] for row, n in zip(mask, own.counts[0]))

    def _own(self, timestep: TimeStep, i: int) -> np.ndarray:
        return np.asarray(timestep.obs[i, : self.spec.obs_sizes[i]], np.float32)

    def _observations(self, timestep: TimeStep) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for i, agent in enumerate(self.possible_agents):
            if agent not in self.agents:
                continue
            out[agent] = self._own(timestep, i)
            if self._masked:
                out[agent] = {
                    "observation": out[agent],
                    "action_mask": self._own_mask(timestep, i),
                }
        return out

    def _infos(self, timestep: TimeStep) -> dict[str, dict[str, Any]]:
        metrics = {name: float(value) for name, value in timestep.metrics.items()}
        return {
            agent: {"active": bool(timestep.active[i]), **metrics}
            for i, agent in enumerate(self.possible_agents)
            if agent in self.agents
        }

    def _joint(self, actions: dict[str, Any]) -> np.ndarray:
        """One array of all agents' actions; those who do not act have 0."""
        space = self.spec.action
        joint = np.zeros((self.spec.num_agents, *space.shape), space.dtype)
        for agent, action in actions.items():
            if agent not in self.action_spaces:
                raise unknown("agent", str(agent), self.possible_agents)
            i, action = self.possible_agents.index(agent), np.asarray(action)
            own = self._own_spaces[i]
            if defect := _defect(own, action):
                raise UserError(f"the action of {agent} {defect}")
            joint[(i, *map(slice, own.shape))] = action
        missing = [agent for agent in self.agents if agent not in actions]
        require(not missing, f"there is no action of {', '.join(missing)}, which are alive")
        return joint


def _action_space(own: ActionSpace) -> gymnasium.Space:
    """The actions of one agent in Gymnasium's terms."""
    if isinstance(own, Discrete):
        return gymnasium.spaces.Discrete(own.size)
    if isinstance(own, Box):
        return gymnasium.spaces.Box(own.lows[0], own.highs[0], dtype=np.float32)
    return gymnasium.spaces.MultiDiscrete(list(own.sizes[0]))


def _defect(own: ActionSpace, action: np.ndarray) -> str:
    """Why an action is not one of an agent's own; nothing where it is."""
    if isinstance(own, Box):
        if action.shape == own.shape and np.isfinite(action).all():
            return ""
        return (
            f"has shape {action.shape}, expected finite numbers, clipped to the box: "
            f"{own.describe(0)}"
        )
    whole = action.shape == own.shape and action.dtype.kind in "iu"
    if whole and ((action >= 0) & (action < own.counts[0])).all():
        return ""
    if isinstance(own, Discrete):
        return f"is {action}, expected a whole number, 0 to {own.size - 1}"
    most = ", ".join(str(n - 1) for n in own.sizes[0])
    return f"is {action}, expected whole numbers from 0, at most {most}"
