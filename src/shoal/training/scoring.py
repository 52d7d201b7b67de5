"""Evaluations during and after training: what is played, what is reported, which one is the best.

In an environment of rival teams a mean over all agents says nothing, so that returns are told by
team, and the newest evaluation counts as the best, unless the environment measures policies itself
(`Env.assess`).
"""

import math
from collections.abc import Mapping

import numpy as np

from shoal.core.env import EnvSpec
from shoal.core.teams import MOST, are_rivals, mean_returns, members, return_names, role_names
from shoal.envs.host.world import World
from shoal.math.statistics import summaries
from shoal.runs.config import Config
from shoal.runs.durable import Json
from shoal.training.evaluation import Returns


def evaluation_columns(
    spec: EnvSpec, greedy: Returns, sampled: Returns, assessed: list[dict[str, float]]
) -> list[Json]:
    """What an evaluation adds to each member's row of metrics."""
    played = dict(zip(return_names(spec), mean_returns(np.asarray(greedy.per_agent), spec)))
    metrics = {f"eval_{name}": v for name, v in (played | greedy.metrics).items()}
    metrics["eval_return_sampled"] = np.asarray(sampled.mean)
    return [
        {name: float(value[k].mean()) for name, value in metrics.items()}
        | {f"eval_{name}": float(value) for name, value in found.items()}
        for k, found in enumerate(assessed)
    ]


def score(spec: EnvSpec, rows: list[Json], assessed: list[dict[str, float]]) -> float | None:
    """What `best` goes by, over all members: the higher the better. `None` where nothing tells
    evaluations of rivals apart: then the newest is the best."""
    if assessed[0]:
        return -float(np.mean([next(iter(found.values())) for found in assessed]))
    return None if are_rivals(spec) else float(np.mean([row["eval_return"] for row in rows]))


def is_better(new: float | None, best: float | None) -> bool:
    """Whether an evaluation of that score takes the place of the best one so far."""
    return new is None or (math.isfinite(new) and (best is None or new > best))


def evaluation_report(config: Config, env: World, returns: Returns) -> Json:
    """The public form of an evaluation; `returns` has axes `[K, E]`."""
    found = evaluation_summaries(env.spec, returns)
    return {
        "algorithm": config.algorithm,
        "environment": config.environment,
        "episodes": config.eval_episodes,
        "seed": config.seed,
        "seeds": config.seeds,
        "return": found.pop("return"),
        "metrics": found,
    }


def evaluation_summaries(spec: EnvSpec, returns: Returns) -> dict[str, dict[str, float]]:
    """The score of an evaluation `[K, E]`, `return`, and of what else it has by name."""
    columns = {"return": np.asarray(returns.mean)}
    columns |= {name: np.asarray(value) for name, value in returns.metrics.items()}
    return summaries(columns | return_columns(spec, np.asarray(returns.per_agent)))


def return_columns(spec: EnvSpec, per_agent: np.ndarray) -> dict[str, np.ndarray]:
    """The returns of an evaluation by name: of each team where there are several, and of each
    agent, or of each role where agents are too many to tell."""
    out = dict(list(zip(return_names(spec), mean_returns(per_agent, spec)))[1:])
    if spec.num_agents <= MOST:
        return out | {f"return/{a}": per_agent[..., i] for i, a in enumerate(spec.agents)}
    if 1 < len(set(spec.roles)) <= MOST:
        for name, places in zip(role_names(spec), members(spec.roles)):
            out[f"return/{name}"] = per_agent[..., np.array(places)].mean(-1)
    return out


def shown_scores(own: Json, metrics: Mapping[str, Json]) -> dict[str, Json]:
    """Scores as they are printed: the return per agent first, which is that of who is alone."""
    agents = [name for name in metrics if name.startswith("return/")]
    return {"return per agent": own, **{n: x for n, x in metrics.items() if [n] != agents}}
