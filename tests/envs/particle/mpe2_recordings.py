"""Random episodes of `mpe2`, as arrays. Runs in worker processes, so it knows nothing of JAX."""

from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

HORIZON = 25


class Recording(NamedTuple):
    """K episodes of T steps; observations and continuous actions are padded with zeros."""

    position: np.ndarray  # [K, T + 1, E, 2]
    velocity: np.ndarray  # [K, T + 1, N, 2]
    message: np.ndarray  # [K, T + 1, N, C]
    obs: np.ndarray  # [K, T + 1, N, D]
    goal: np.ndarray  # [K, G]
    action: np.ndarray  # [K, T, N] or [K, T, N, A]
    reward: np.ndarray  # [K, T, N]
    truncated: np.ndarray  # [K, T, N]
    agents: tuple[str, ...]
    obs_sizes: tuple[int, ...]
    action_sizes: tuple[int, ...]


def record(module: str, continuous: bool, episodes: int, options: dict[str, Any]) -> Recording:
    """Plays `episodes` random episodes of `mpe2.<module>`."""
    make = import_module(f"mpe2.{module}").parallel_env
    env = make(max_cycles=HORIZON, continuous_actions=continuous, **options)
    rng = np.random.default_rng(0)
    played = [_episode(env, seed, rng, continuous) for seed in range(episodes)]
    spaces = [env.action_space(a) for a in env.possible_agents]
    return Recording(
        *(np.stack(column) for column in zip(*played)),
        tuple(env.possible_agents),
        tuple(env.observation_space(a).shape[0] for a in env.possible_agents),
        tuple(s.shape[0] if continuous else int(s.n) for s in spaces),
    )


def _episode(env, seed: int, rng: np.random.Generator, continuous: bool) -> tuple[np.ndarray, ...]:
    obs, _ = env.reset(seed=seed)
    world, names = env.unwrapped.world, env.possible_agents
    states, actions, outcomes = [_look(world, obs, names)], [], []
    for _ in range(HORIZON):
        action = {a: _sample(env.action_space(a), rng, continuous) for a in names}
        obs, reward, terminated, truncated, _ = env.step(action)
        assert not any(terminated.values())
        states.append(_look(world, obs, names))
        actions.append(_pad(list(action.values())) if continuous else list(action.values()))
        outcomes.append(([reward[a] for a in names], [truncated[a] for a in names]))
    reward, truncated = (np.array(x) for x in zip(*outcomes))
    goal = np.array(_goals(world), np.int32)
    return *map(np.stack, zip(*states)), goal, np.array(actions), reward, truncated


def _sample(space, rng: np.random.Generator, continuous: bool):
    """Any discrete action; a point in the box, a corner of it, or all zeros."""
    if not continuous:
        return int(rng.integers(space.n))
    inside = rng.random(space.shape)
    kind = rng.integers(5)
    return (inside if kind < 2 else inside.round() if kind < 4 else 0 * inside).astype(np.float32)


def _look(world, obs: dict[str, np.ndarray], names: list[str]) -> tuple[np.ndarray, ...]:
    return (
        np.stack([e.state.p_pos for e in world.entities]),
        np.stack([a.state.p_vel for a in world.agents]),
        np.stack([a.state.c for a in world.agents]),
        _pad([obs[a] for a in names]),
    )


def _goals(world) -> list[int]:
    """Which landmark each choice of the episode fell on."""
    first = world.agents[0]
    if hasattr(first, "_key"):  # two choices: the landmark, and the key by its colour
        return [world.landmarks.index(first.goal_a), int(world.agents[2].key.argmax())]
    if getattr(first, "_goal_b", None) is not None:
        goals = [agent._goal_b for agent in world.agents]
        return [world.landmarks.index(goal) for goal in goals if goal is not None]
    if getattr(first, "_goal_a", None) is not None:
        return [world.landmarks.index(first.goal_a)]
    return []


def _pad(rows: list[np.ndarray]) -> np.ndarray:
    width = max(len(row) for row in rows)
    return np.stack([np.pad(row, (0, width - len(row))) for row in rows])
