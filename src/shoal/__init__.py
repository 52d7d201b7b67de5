"""Shoal: multi-agent reinforcement learning on one small engine, compiled end to end with JAX.

    env = shoal.make("mpe/simple_spread", num_agents=3)
    run = shoal.train("mappo", env, total_steps=2_000_000, seed=0)
    shoal.evaluate(run.policy, env, episodes=100)

Names are imported when they are first used, so that `import shoal` costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__: str

if TYPE_CHECKING:
    from shoal.core.algorithm import Algorithm, Policy
    from shoal.core.env import Env, EnvSpec, Places, TimeStep
    from shoal.core.errors import UserError
    from shoal.envs.check import check_environment
    from shoal.envs.game.world import as_world
    from shoal.envs.host.world import from_gymnasium, from_pettingzoo
    from shoal.export.export import export_run
    from shoal.interop.pettingzoo import to_pettingzoo
    from shoal.registry import make, make_algorithm
    from shoal.reports.comparison import compare
    from shoal.training.backend import record
    from shoal.training.contributions import Contributions, contributions
    from shoal.training.empirical_game import EmpiricalGame, empirical_game
    from shoal.training.heat_maps import HeatMaps, heat_maps
    from shoal.training.representation import representational_gap
    from shoal.training.run import Evaluation, Run, evaluate, load
    from shoal.training.train import resume, train

_HOME = {
    "Algorithm": "shoal.core.algorithm",
    "Policy": "shoal.core.algorithm",
    "Env": "shoal.core.env",
    "EnvSpec": "shoal.core.env",
    "Places": "shoal.core.env",
    "TimeStep": "shoal.core.env",
    "UserError": "shoal.core.errors",
    "make": "shoal.registry",
    "make_algorithm": "shoal.registry",
    "Evaluation": "shoal.training.run",
    "Run": "shoal.training.run",
    "EmpiricalGame": "shoal.training.empirical_game",
    "as_world": "shoal.envs.game.world",
    "check_environment": "shoal.envs.check",
    "compare": "shoal.reports.comparison",
    "Contributions": "shoal.training.contributions",
    "contributions": "shoal.training.contributions",
    "empirical_game": "shoal.training.empirical_game",
    "evaluate": "shoal.training.run",
    "export_run": "shoal.export.export",
    "from_gymnasium": "shoal.envs.host.world",
    "from_pettingzoo": "shoal.envs.host.world",
    "HeatMaps": "shoal.training.heat_maps",
    "heat_maps": "shoal.training.heat_maps",
    "load": "shoal.training.run",
    "record": "shoal.training.backend",
    "representational_gap": "shoal.training.representation",
    "resume": "shoal.training.train",
    "to_pettingzoo": "shoal.interop.pettingzoo",
    "train": "shoal.training.train",
}

__all__ = [
    "Algorithm",
    "Contributions",
    "EmpiricalGame",
    "Env",
    "EnvSpec",
    "Evaluation",
    "HeatMaps",
    "Places",
    "Policy",
    "Run",
    "TimeStep",
    "UserError",
    "__version__",
    "as_world",
    "check_environment",
    "compare",
    "contributions",
    "empirical_game",
    "evaluate",
    "export_run",
    "from_gymnasium",
    "from_pettingzoo",
    "heat_maps",
    "load",
    "make",
    "make_algorithm",
    "record",
    "representational_gap",
    "resume",
    "to_pettingzoo",
    "train",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib import metadata

        return metadata.version("shoal")
    if name not in _HOME:
        raise AttributeError(f"module 'shoal' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
