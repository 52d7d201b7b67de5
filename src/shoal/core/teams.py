"""Returns by team. In a zero-sum game the mean over all agents says nothing: it never changes.

Where an environment has one team, whose agents share an interest, there is one return: the mean
over agents. Where teams are rivals, there is one of each team besides.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from shoal.core.env import EnvSpec

MOST = 16  # agents, or teams, that are reported one by one


def are_rivals(spec: EnvSpec) -> bool:
    """Whether an environment has more than one team."""
    return len(set(spec.teams)) > 1


def team_names(spec: EnvSpec) -> tuple[str, ...]:
    """A name for each team, in the order of their numbers: what the names of its agents begin with,
    such as `adversary`, if no other team's do; else its only agent's, or `team_0`."""
    return group_names(spec.agents, spec.teams, "team")


def role_names(spec: EnvSpec) -> tuple[str, ...]:
    """A name for each role, in the order of their numbers; see `team_names`."""
    return group_names(spec.agents, spec.roles, "role")


def group_names(agents: Sequence[str], numbers: Sequence[Any], word: str) -> tuple[str, ...]:
    """A name for each group of agents of one number; see `team_names`."""
    groups = [[agents[i] for i in places] for places in members(numbers)]
    stems = [{_stem(agent) for agent in group} for group in groups]
    every = [stem for found in stems for stem in found]
    out = []
    for i, (group, found) in enumerate(zip(groups, stems)):
        stem = min(found)
        if len(found) == 1 and stem and every.count(stem) == 1 and stem not in agents:
            out.append(stem)
        else:
            out.append(group[0] if len(group) == 1 else f"{word}_{i}")
    return tuple(out)


def _stem(name: str) -> str:
    """A name without its number: `agent` of `agent_3`."""
    return name.rstrip("0123456789").rstrip("_- ")


def members(numbers: Iterable[Any]) -> list[list[int]]:
    """The agents of each team or role, in the order of their numbers."""
    found: dict[Any, list[int]] = {}
    for agent, number in enumerate(numbers):
        found.setdefault(number, []).append(agent)
    return [found[number] for number in sorted(found)]


def rival_teams(spec: EnvSpec) -> dict[str, list[int]]:
    """The agents of each team by its name, where there are several and not too many to tell."""
    found = members(spec.teams)
    return dict(zip(team_names(spec), found)) if 1 < len(found) <= MOST else {}


def return_names(spec: EnvSpec) -> tuple[str, ...]:
    """`return`, and `return/<team>` of each of several teams."""
    return ("return", *(f"return/{team}" for team in rival_teams(spec)))


def mean_returns(per_agent: Any, spec: EnvSpec) -> list[Any]:
    """What `return_names` names, of returns `[..., N]` of JAX or of NumPy: means over agents."""
    teams = rival_teams(spec).values()
    return [per_agent.mean(-1), *(per_agent[..., np.array(team)].mean(-1) for team in teams)]
