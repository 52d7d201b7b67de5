"""Episodes of a world of Gymnasium's or PettingZoo's, and what they show of it."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from shoal.envs.check.finding import Finding, error, warning
from shoal.envs.host.building import LONGEST
from shoal.envs.host.env import HostEnv, HostStep

STEPS = 20_000  # that are played at most, of all episodes together
Choose = Callable[[HostStep, int], np.ndarray]  # actions, by what is shown and the step


class Episode(NamedTuple):
    """What was shown: `shown[0]` after the reset, and `shown[t + 1]` after `actions[t]`."""

    seed: int
    shown: list[HostStep]
    actions: list[np.ndarray]


def watch(inner: Any, found: list[Finding]) -> None:
    """Notes every observation of a game that does not lie in its space."""
    players, env, see = inner.players, inner.env, inner.players.see

    def watched(i: int, observation: Any, info: Any) -> bool:
        agent = next(agent for agent, place in players.index.items() if place == i)
        space = env.observation_space
        space = space(agent) if callable(getattr(env, "observation_space", None)) else space
        if not space.contains(observation):
            seen = f"it sees {_describe(observation)}, which is not in {space}"
            mend = "return what observation_space says, or say what is returned"
            expected = "an observation of its space"
            found.append(error("spaces", seen, expected, mend, agent=players.names[i]))
        return see(i, observation, info)

    players.see = watched


def _describe(observation: Any) -> str:
    if not isinstance(observation, np.ndarray) or not observation.size:
        return repr(observation)[:60]
    low, high = observation.min(), observation.max()
    return f"{observation.dtype}[{', '.join(map(str, observation.shape))}] of {low} to {high}"


def play_all(game: HostEnv, episodes: int, seed: int) -> Iterator[Episode]:
    """Episodes with random actions, as many as `STEPS` allow."""
    left = STEPS
    for i in range(seed, seed + episodes):
        if left > 0:
            episode = play(game, i, _random(game, np.random.default_rng(i)), left)
            left -= len(episode.actions)
            yield episode


def play(game: HostEnv, seed: int, choose: Choose, most: int) -> Episode:
    """One episode, of at most so many steps."""
    shown, actions = [_copy(game.reset(seed))], []
    while not shown[-1].done and len(actions) < most:
        actions.append(choose(shown[-1], len(actions)))
        shown.append(_copy(game.step(actions[-1])))
    return Episode(seed, shown, actions)


def _random(game: HostEnv, rng: np.random.Generator) -> Choose:
    """What draws a legal action for each agent."""
    facts = game.facts
    exists = np.arange(max(facts.action_sizes)) < np.array(facts.action_sizes)[:, None]

    def draw(shown: HostStep, t: int) -> np.ndarray:
        if facts.discrete:
            legal = exists if shown.action_mask is None else shown.action_mask
            return np.array([rng.choice(np.flatnonzero(row)) for row in legal], np.int32)
        low, high = (
            np.broadcast_to(np.asarray(x, float), exists.shape) for x in (facts.low, facts.high)
        )
        return rng.uniform(low, high).astype(np.float32)

    return draw


def _copy(shown: HostStep) -> HostStep:
    """What holds when the game is called again."""
    return HostStep(*(None if x is None else np.array(x) for x in shown))  # pyright: ignore


def check_seed(game: HostEnv, new: HostEnv, first: Episode) -> list[Finding]:
    """The first episode again, in the world that has played others and in a new one."""
    same: Choose = lambda _, t: first.actions[t]  # noqa: E731
    most = len(first.actions)
    again = {
        "played again": play(game, first.seed, same, most),
        "in a new world": play(new, first.seed, same, most),
    }
    for what, episode in again.items():
        for t, (a, b) in enumerate(zip(first.shown, episode.shown)):
            for name, x, y in zip(HostStep._fields, a, b):
                if x is not None and not np.array_equal(
                    x, np.asarray(y), equal_nan=x.dtype.kind == "f"
                ):
                    seen = f"{what} with the same seed and actions, {name} differs"
                    mend = (
                        "draw from self.np_random, or a generator made of the seed in reset; keep "
                        "no clock, no global random numbers, nothing from the episode before"
                    )
                    place = {"step": t, "seed": first.seed}
                    return [error("seed", seen, "the same episode", mend, **place)]
    return []


def check_numbers(agents: tuple[str, ...], played: list[Episode]) -> list[Finding]:
    """What is not finite."""
    for episode, t, shown in _steps(played):
        for name, values in (("observation", shown.obs), ("reward", shown.reward)):
            bad = ~np.isfinite(values)
            if bad.any():
                i = int(np.argwhere(bad)[0][0])
                place = {"agent": agents[i], "step": t, "seed": episode.seed}
                mend = "look for a division by zero, or the root or logarithm of what may be 0"
                seen = f"the {name} is {values[bad][0]}"
                return [error("numbers", seen, "finite numbers", mend, **place)]
    return []


def check_end(endless: bool, played: list[Episode]) -> list[Finding]:
    """Episodes that are over at once, that nobody can go on with, or that do not end."""
    for episode, t, shown in _steps(played):
        place = {"step": t, "seed": episode.seed}
        if t == 0 and shown.done:
            seen, mend = "the episode is over before its first step", "let reset bring agents back"
            return [error("end", seen, "an episode has a step at least", mend, **place)]
        if not shown.done and not shown.active.any():
            seen = "nobody is due to act, but the episode goes on"
            mend = "end the episode, or let somebody act"
            return [warning("end", seen, "someone is due to act", mend, **place)]
    if endless and any(len(episode.actions) >= LONGEST for episode in played):
        seen = f"episodes do not end: they are cut after {LONGEST} steps"
        mend = "say --env.horizon, or give it max_episode_steps or max_cycles"
        return [warning("end", seen, "episodes that end", mend)]
    return []


def check_reward(played: list[Episode]) -> list[Finding]:
    """Rewards that never differ."""
    rewards = [shown.reward for _, t, shown in _steps(played) if t]
    lengths = {len(episode.actions) for episode in played}
    differ = len(lengths) > 1 and any(map(np.any, rewards))  # 1 a step is a reward for going on
    if differ or len(rewards) < 2 or np.ptp(np.stack(rewards), axis=0).any():
        return []
    seen = f"every reward of {len(rewards)} steps is {rewards[0].max():g}"
    mend = "check what reward is computed from; with random actions it may be rare"
    return [warning("reward", seen, "rewards that differ", mend)]


def _steps(played: list[Episode]) -> Iterator[tuple[Episode, int, HostStep]]:
    return ((e, t, shown) for e in played for t, shown in enumerate(e.shown))
