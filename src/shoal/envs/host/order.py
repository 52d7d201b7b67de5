"""One order of agents for all copies of a game, whatever process made them.

A world may list its agents in another order each time that it is made, as from a set of names.
Every array has the agents in the order of the facts that the learner knows.
"""

from dataclasses import fields, replace

import numpy as np

from shoal.core.errors import require
from shoal.envs.host.env import HostEnv, HostSpec, HostStep

BY_AGENT = ("agents", "roles", "obs_sizes", "action_sizes", "low", "high", "teams")
MAY_DIFFER = ("limit",)  # of two games that are the same to a learner


def in_order_of(facts: HostSpec, game: HostEnv) -> HostEnv:
    """The game with its agents in the order that `facts` has them in.

    Raises:
        UserError: it is not the game that the facts tell of; says what differs.
    """
    own = game.facts
    if own.agents != facts.agents:
        require(
            sorted(own.agents) == sorted(facts.agents),
            f"its agents are {_listed(own.agents)}, expected {_listed(facts.agents)}: a world "
            "names all that may ever appear, and the same ones each time that it is made",
        )
        order = [own.agents.index(agent) for agent in facts.agents]
        game = Reordered(game, order)
        own = game.facts
    for field in fields(HostSpec):
        mine, theirs = getattr(own, field.name), getattr(facts, field.name)
        same = mine == theirs or field.name in MAY_DIFFER
        require(same, f"its {field.name} are {mine}, expected {theirs}, as when it was first made")
    return game


class Reordered(HostEnv):
    """A game with its agents in another order: agent `i` here is `order[i]` there."""

    def __init__(self, game: HostEnv, order: list[int]):
        self.game = game
        self._here = np.array(order)
        self._there = np.argsort(self._here)
        held = {name: getattr(game.facts, name) for name in BY_AGENT}
        moved = {  # a bound may be one number for all
            name: tuple(x[i] for i in order) if isinstance(x, tuple) else x
            for name, x in held.items()
        }
        # Roles are numbered as they appear.
        roles = moved["roles"]
        moved["roles"] = tuple([*dict.fromkeys(roles)].index(role) for role in roles)
        self.facts = replace(game.facts, **moved)

    def reset(self, seed: int) -> HostStep:
        return self._moved(self.game.reset(seed))

    def step(self, action: np.ndarray) -> HostStep:
        return self._moved(self.game.step(action[self._there]))

    def render(self) -> np.ndarray:
        return self.game.render()

    def close(self) -> None:
        self.game.close()

    def _moved(self, shown: HostStep) -> HostStep:
        fields = shown._asdict()
        state, mask = fields.pop("global_state"), fields.pop("action_mask")
        moved = {name: values[self._here] for name, values in fields.items()}
        mask = None if mask is None else mask[self._here]
        return HostStep(**moved, action_mask=mask, global_state=state)


def _listed(agents: tuple[str, ...]) -> str:
    return ", ".join(agents)
