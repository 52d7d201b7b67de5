"""A world of Gymnasium's or PettingZoo's: what is known of it, and processes that step it.

    env = shoal.make("gymnasium:CartPole-v1")
    env = shoal.from_pettingzoo(lambda: my_parallel_env(max_cycles=100))

Such a world is no function of its state, so it cannot be compiled: worker processes step it
(`vector`), while algorithms stay what they are. Terry et al., PettingZoo (2021), arXiv:2009.14471;
Towers et al., Gymnasium (2024), arXiv:2407.17032.
"""

import contextlib
import functools
import os
from collections.abc import Callable
from typing import Any, Literal

import equinox as eqx

from shoal.core.env import Env, EnvSpec
from shoal.core.errors import UserError, in_a_line, require
from shoal.core.limits import Count, Natural, Positive, check_fields
from shoal.core.spaces import Box, Discrete
from shoal.core.terminal import say
from shoal.envs.host.building import LONGEST, build
from shoal.envs.host.env import HostEnv, HostSpec
from shoal.envs.host.facts import ask_facts
from shoal.envs.host.order import in_order_of
from shoal.envs.host.remote import RemoteHostEnv
from shoal.envs.host.vector import HostVector
from shoal.envs.settings import read_settings


class HostWorld(eqx.Module):
    """A world that processes of the host step. All its fields are settings."""

    task: str = eqx.field(static=True)
    """Its name, such as `gymnasium:CartPole-v1`."""
    settings: str = eqx.field(static=True, default="{}")
    """What it is made with, as JSON."""
    horizon: Natural = eqx.field(static=True, default=0)
    """Steps after which an episode is cut; 0 for the world's own limit, or 10,000."""
    frame_stack: Count = eqx.field(static=True, default=1)
    """How many of the last observations are shown together."""
    image_size: Natural = eqx.field(static=True, default=0)
    """Width and height to which images are scaled; 0 leaves them."""
    grayscale: bool = eqx.field(static=True, default=False)
    """Whether images lose their colours."""
    teams: tuple[int, ...] = eqx.field(static=True, default=())
    """The team of each agent, such as 0 0 1; none given: all share one, but for adversaries and
    for those who take turns."""
    workers: Natural = eqx.field(static=True, default=0)
    """Processes that share the environments; 0 for one a core."""
    in_process: bool = eqx.field(static=True, default=False)
    """Whether no other process steps the environments: fastest for worlds of a few microseconds,
    and no protection against worlds that hang or crash."""
    deadline: Positive = eqx.field(static=True, default=60.0)
    """Seconds that a worker may take to answer."""
    on_failure: Literal["replace", "stop"] = eqx.field(static=True, default="replace")
    """What follows when a worker dies, hangs or breaks the world's own spec."""
    make_fn: Callable[[], Any] | None = eqx.field(
        static=True, default=None, metadata={"saved": False}
    )
    """What makes a world that has no name."""

    def __check_init__(self):
        check_fields(self)

    @property
    def facts(self) -> HostSpec:
        """What the world says of itself; it is made once to find out, in a process of its own."""
        return _facts(self)

    @property
    def endless(self) -> bool:
        """Whether neither the world nor its settings say how long an episode may last."""
        return not (self.horizon or self.facts.limit)

    @property
    def spec(self) -> EnvSpec:
        facts = self.facts
        sizes, teams = facts.action_sizes, self.teams or facts.teams
        require(
            len(teams) == len(facts.agents),
            f"teams has {len(teams)} numbers, expected one for each of the {len(facts.agents)} "
            f"agents: {', '.join(facts.agents)}",
        )
        return EnvSpec(
            name=self.task,
            agents=facts.agents,
            teams=teams,
            roles=facts.roles,
            obs_sizes=facts.obs_sizes,
            action=Discrete(sizes) if facts.discrete else Box(facts.low, facts.high, sizes),
            state_size=facts.state_size,
            horizon=self.horizon or facts.limit or LONGEST,
            images=facts.images,
            endless=self.endless,
        )

    def assess(self, policy: Any) -> dict[str, float]:
        """Exact measures of a policy: such environments have none."""
        return {}

    @property
    def build(self) -> Callable[..., HostEnv]:
        """What makes the world, here or in a worker; `drawn=True` one that can draw itself."""
        from shoal.envs.host.views import View

        return functools.partial(
            build,
            self.task,
            read_settings(self.task, self.settings),
            self.make_fn,
            View(self.frame_stack, self.image_size, self.grayscale),
            self.horizon,
        )

    def drawn(self) -> HostEnv:
        """One that can draw itself; in a process of its own, unless they are all `in_process`."""
        make = functools.partial(self.build, drawn=True)
        if not self.in_process:
            return RemoteHostEnv(self.task, make, self.facts, float(self.deadline))
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # those drawn with pygame open no window
        return in_order_of(self.facts, make())

    def vector(self, num_envs: int, report: Callable[[str], None] | None = None) -> HostVector:
        """`num_envs` of these worlds in worker processes. `report` is told of each that had to be
        replaced; without one, standard error is."""
        return HostVector(
            self.build,
            self.facts,
            num_envs,
            workers=self.workers,
            in_process=self.in_process,
            deadline=float(self.deadline),
            on_failure=self.on_failure,
            report=report or (lambda line: say(f"shoal: {line}")),
        )


World = Env | HostWorld  # what can be trained in


def from_pettingzoo(make_fn: Callable[[], Any], name: str = "", **fields: Any) -> HostWorld:
    """PettingZoo's world of your own as one of Shoal's, parallel or turn-based (AEC).

    Args:
        make_fn: makes one world; worker processes call it. A function of a module, a lambda and a
            closure will all do.
        name: what runs call the world; the function's own name if not given.
        fields: fields of `HostWorld`, such as `frame_stack=4, workers=8, deadline=10.0`.

    Raises:
        UserError: the world cannot be made, or its spaces will not do.
    """
    return _own(make_fn, name, fields)


def from_gymnasium(make_fn: Callable[[], Any], name: str = "", **fields: Any) -> HostWorld:
    """Gymnasium's world of your own as one of Shoal's, with one agent.

    Args:
        make_fn: makes one world; worker processes call it.
        name: what runs call the world; the function's own name if not given.
        fields: fields of `HostWorld`, such as `frame_stack=4, workers=8, deadline=10.0`.

    Raises:
        UserError: the world cannot be made, or its spaces will not do.
    """
    return _own(make_fn, name, fields)


def _own(make_fn: Callable[[], Any], name: str, fields: dict[str, Any]) -> HostWorld:
    require(callable(make_fn), f"make_fn is a {type(make_fn).__name__}, expected a function")
    label = name or getattr(make_fn, "__name__", type(make_fn).__name__).strip("<>")
    world = HostWorld(label, make_fn=make_fn, **fields)
    _ = world.facts
    return world


@functools.lru_cache(maxsize=64)
def _facts(world: HostWorld) -> HostSpec:
    if not world.in_process:
        return ask_facts(world.task, world.build, float(world.deadline))
    try:
        with contextlib.chdir("."), contextlib.closing(world.build()) as game:
            return game.facts
    except UserError:
        raise
    except Exception as error:  # a constructor of others may raise anything
        raise UserError(f"{world.task} cannot be made: {in_a_line(error)}") from error
