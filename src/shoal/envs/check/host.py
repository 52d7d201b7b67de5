"""Whether a world of Gymnasium's or PettingZoo's keeps what learners rely on.

Their own checks of the interface, `check_env`, `api_test` and `parallel_api_test`, are run as they
are; what they do not see, such as an episode that its seed does not decide, is looked for in
episodes that are played here, in this very process.
"""

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from shoal.core.errors import UserError, require
from shoal.envs.check.finding import Finding, error, raised, warning
from shoal.envs.check.report import Report
from shoal.envs.host.aec import AECHostEnv
from shoal.envs.host.building import LONGEST, Limited
from shoal.envs.host.env import HostEnv, HostStep
from shoal.envs.host.parallel import ParallelHostEnv
from shoal.envs.host.single_agent import GymnasiumHostEnv
from shoal.envs.host.world import HostWorld

HOST_CHECKS = {
    "spec": "it can be made, and says who acts, what they see and what they may do",
    "api": "the interface passes Gymnasium's or PettingZoo's own check",
    "play": "episodes can be played",
    "seed": "the same seed and actions give the same episode",
    "spaces": "observations lie in their space: type, shape and bounds",
    "numbers": "observations and rewards are finite",
    "end": "someone is due to act until the episode ends, and it ends",
    "reward": "rewards differ",
    "draw": "pictures can be drawn",
}
STEPS = 20_000  # that are played at most, of all episodes together
CYCLES = 100  # of PettingZoo's checks
Choose = Callable[[HostStep, int], np.ndarray]  # actions, by what is shown and the step


class Episode(NamedTuple):
    """What was shown: `shown[0]` after the reset, and `shown[t + 1]` after `actions[t]`."""

    seed: int
    shown: list[HostStep]
    actions: list[np.ndarray]


def inspect_host(world: HostWorld, *, episodes: int = 16, seed: int = 0) -> Report:
    """What is wrong with a world that processes step, what was not checked, and why."""
    require(episodes >= 1, f"episodes is {episodes}, expected at least 1")
    report, checks = Report(checks=HOST_CHECKS), list(HOST_CHECKS)
    try:
        _ = world.spec
    except UserError as problem:
        mend = "make it by itself; its constructor takes what --env.settings says"
        report.findings.append(error("spec", str(problem), "a world", mend))
        report.skip("it cannot be made", *checks)
        return report
    report.findings += _check_api(world)
    found: list[Finding] = []
    try:
        with contextlib.closing(world.build(drawn=True)) as game:
            _watch(game, found)
            played = list(_play_all(game, episodes, seed))
            report.findings += found[:1]
            report.findings += _check_seed(world, game, played[0])
            _draw(game, report)
    except Exception as problem:
        mend = "run the world by itself with these actions and mend the line that raises"
        seen = f"playing raises {raised(problem)}"
        report.findings.append(error("play", seen, "episodes can be played", mend))
        report.skip("no episode could be played", *checks)
        return report
    for check in (_check_numbers, _check_end, _check_reward):
        report.findings += check(world, played)
    return report


# Their own checks -----------------------------------------------------------------------------


def _check_api(world: HostWorld) -> list[Finding]:
    """What Gymnasium and PettingZoo say of their interface; Shoal copes with some of it."""
    with contextlib.closing(world.build()) as game:
        inner = _inner(game)
        name, check = _OWN[type(inner)]
        try:
            with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                check(inner.env)
        except Exception as problem:
            mend = f"{name} by itself says more; what Shoal cannot cope with is an error below"
            return [warning("api", f"{name} raises {raised(problem)}", "no complaint", mend)]
    return []


def _gymnasium(env: Any) -> None:
    from gymnasium.utils.env_checker import check_env

    check_env(env.unwrapped, skip_render_check=True, skip_close_check=True)


def _parallel(env: Any) -> None:
    from pettingzoo.test import parallel_api_test

    parallel_api_test(env, CYCLES)


def _aec(env: Any) -> None:
    from pettingzoo.test import api_test

    api_test(env, CYCLES)


_OWN: dict[type, tuple[str, Callable[[Any], None]]] = {
    GymnasiumHostEnv: ("gymnasium.utils.env_checker.check_env", _gymnasium),
    ParallelHostEnv: ("pettingzoo.test.parallel_api_test", _parallel),
    AECHostEnv: ("pettingzoo.test.api_test", _aec),
}


# Episodes -------------------------------------------------------------------------------------


def _inner(game: HostEnv) -> Any:
    """The game of a class of `_OWN`, without the limit around it."""
    return game.game if isinstance(game, Limited) else game


def _watch(game: HostEnv, found: list[Finding]) -> None:
    """Notes every observation that does not lie in its space."""
    inner = _inner(game)
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


def _play_all(game: HostEnv, episodes: int, seed: int) -> Iterator[Episode]:
    """Episodes with random actions, as many as `STEPS` allow."""
    left = STEPS
    for i in range(seed, seed + episodes):
        if left > 0:
            episode = _play(game, i, _random(game, np.random.default_rng(i)), left)
            left -= len(episode.actions)
            yield episode


def _play(game: HostEnv, seed: int, choose: Choose, most: int) -> Episode:
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


# What they show -------------------------------------------------------------------------------


def _check_seed(world: HostWorld, game: HostEnv, first: Episode) -> list[Finding]:
    """The first episode again, in the world that has played others and in a new one."""
    same: Choose = lambda _, t: first.actions[t]  # noqa: E731
    most = len(first.actions)
    with contextlib.closing(world.build(drawn=True)) as new:
        again = {
            "played again": _play(game, first.seed, same, most),
            "in a new world": _play(new, first.seed, same, most),
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


def _check_numbers(world: HostWorld, played: list[Episode]) -> list[Finding]:
    for episode, t, shown in _steps(played):
        for name, values in (("observation", shown.obs), ("reward", shown.reward)):
            bad = ~np.isfinite(values)
            if bad.any():
                i = int(np.argwhere(bad)[0][0])
                place = {"agent": world.spec.agents[i], "step": t, "seed": episode.seed}
                mend = "look for a division by zero, or the root or logarithm of what may be 0"
                seen = f"the {name} is {values[bad][0]}"
                return [error("numbers", seen, "finite numbers", mend, **place)]
    return []


def _check_end(world: HostWorld, played: list[Episode]) -> list[Finding]:
    for episode, t, shown in _steps(played):
        place = {"step": t, "seed": episode.seed}
        if t == 0 and shown.done:
            seen, mend = "the episode is over before its first step", "let reset bring agents back"
            return [error("end", seen, "an episode has a step at least", mend, **place)]
        if not shown.done and not shown.active.any():
            seen = "nobody is due to act, but the episode goes on"
            mend = "end the episode, or let somebody act"
            return [warning("end", seen, "someone is due to act", mend, **place)]
    if not world.horizon and any(len(episode.actions) >= LONGEST for episode in played):
        seen = f"episodes do not end: they are cut after {LONGEST} steps"
        mend = "say --env.horizon, or give it max_episode_steps or max_cycles"
        return [warning("end", seen, "episodes that end", mend)]
    return []


def _check_reward(world: HostWorld, played: list[Episode]) -> list[Finding]:
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


def _draw(game: HostEnv, report: Report) -> None:
    try:
        game.render()
    except UserError as problem:
        report.skip(str(problem), "draw")
