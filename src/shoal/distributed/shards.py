"""Several servers of parameters, each in a process of its own: it keeps a part of the arrays, and
makes its part of each step.

What is pulled goes from servers to workers and gradients from workers to servers; whoever runs the
run hands on references alone, and takes what is reported. A gradient is clipped, and checked, by
the norm of the whole: each server sends the sum of squares of its part to all of them. Li et al.
2014, Scaling distributed machine learning with the parameter server.
"""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float

from shoal.agents.on_policy import OnPolicyState
from shoal.agents.policy_gradient.a2c import A2C, Gradient
from shoal.core import awake
from shoal.core.descend import rows_of
from shoal.distributed.arrays import Packed, pack, unpack
from shoal.distributed.cluster import gone, raised
from shoal.distributed.crew import FIRST, LOOK, actor
from shoal.distributed.cut import Cut
from shoal.distributed.gradients import gradient_shapes, pulled
from shoal.distributed.worker import CollectingWorker
from shoal.runs.durable import Json

Squares = dict[str, Float[Array, "G"]]


class ServerLost(Exception):
    """A server is gone, and with it the part that it kept."""


def stepped(
    algorithm: A2C,
    state: OnPolicyState,
    gradient: Gradient,
    progress: Float[Array, ""],
    stale: Any,
    squares: Squares | None = None,
) -> tuple[OnPolicyState, Any]:
    """A step down a gradient that is so many updates old, or down a part of one."""
    rate = algorithm.learning_rate / (1.0 + stale)
    slower = eqx.tree_at(lambda a: a.learning_rate, algorithm, rate)
    return slower.apply(state, gradient, progress, squares)


class Server(CollectingWorker):
    """One of the servers. It collects nothing, and knows what is collected."""

    def __init__(self, config: Json, folder: str, num_envs: int, number: int):
        super().__init__(config, folder, num_envs)
        algorithm: Any = self.algorithm
        shapes = jax.eval_shape(lambda k: algorithm.init(self.share.spec, k), jax.random.key(0))
        cut = Cut(shapes, self.config.servers)
        taught = gradient_shapes(algorithm, self.share)
        self._structure = jax.tree.structure(jax.eval_shape(cut.states, shapes)[number])
        self._taught = jax.tree.structure(jax.eval_shape(cut.gradients, taught)[number])
        groups = {name: len(optimizer.skipped) for name, optimizer in shapes.optimizers.items()}
        self._state: Any = None
        self._gradient: Any = None

        def mean(parts: Sequence[Gradient]) -> tuple[Gradient, Squares]:
            gradient = Gradient.mean(parts) if len(parts) > 1 else parts[0]
            own = {n: rows_of(gradient.params[n], count) for n, count in groups.items()}
            return gradient, {name: (rows**2).sum(1) for name, rows in own.items()}

        def step(state: Any, gradient: Gradient, progress: Any, stale: Any, parts: Any) -> Any:
            squares = jax.tree.map(lambda *xs: sum(xs), *parts)
            return stepped(algorithm, state, gradient, progress, stale, squares)

        self._mean, self._step = jax.jit(mean), jax.jit(step, donate_argnums=0)

    def load(self, state: Packed) -> Packed:
        """Takes its part of a state as it is; gives what workers pull."""
        self._state = unpack(self._structure, state)
        return pack(pulled(self._state))

    def squares(self, *gradients: Packed) -> dict[str, np.ndarray]:
        """Takes its part of gradients; gives the sums of squares of their mean."""
        parts = [unpack(self._taught, gradient) for gradient in gradients]
        self._gradient, squares = self._mean(parts)
        return jax.device_get(squares)

    def step(self, progress: np.float32, stale: np.float32, *squares: Any) -> Any:
        """A step down that mean, of which all servers have those sums; gives what workers pull
        then, and what to report."""
        told = (self._gradient, progress, stale, squares)
        self._state, norms = self._step(self._state, *told)
        return pack(pulled(self._state)), {name: np.asarray(x) for name, x in norms.items()}

    def state(self) -> Packed:
        """Its part."""
        return pack(self._state)


class Servers:
    """All servers, of which `weights` are references to what workers pull, at that version.

    Args:
        words: what each is made with, but for its number.
        deadline: seconds in which all must have answered, `FIRST` times as many while they compile.
    """

    def __init__(self, ray: Any, words: Sequence[Any], cut: Cut, shapes: Any, deadline: float):
        self._ray, self._deadline, self.version = ray, deadline, -1
        self._patience = FIRST  # deadlines
        self._join = jax.jit(cut.state)
        parts = jax.eval_shape(cut.states, shapes)
        self._structures = [jax.tree.structure(part) for part in parts]
        self.actors = [actor(ray, Server, (*words, k)) for k in range(len(parts))]
        self.weights: list[Any] = []

    def load(self, parts: list[Packed], version: int) -> None:
        """Gives each its part of a state."""
        calls = zip(self.actors, parts)
        self.weights = [server.run.remote("load", part) for server, part in calls]
        self._get(self.weights, FIRST)
        self.version = version

    def step(self, gradients: Sequence[Sequence[Any]], progress: Any, stale: int) -> Any:
        """A step down the mean of gradients, of each of which there are references to its parts.
        Raises `ServerLost`."""
        squares = [
            server.run.remote("squares", *(parts[k] for parts in gradients))
            for k, server in enumerate(self.actors)
        ]
        words = ("step", progress, np.float32(stale), *squares)
        made = [server.run.options(num_returns=2).remote(*words) for server in self.actors]
        self.weights = [weights for weights, _ in made]
        self.version += 1
        norms = self._get([norms for _, norms in made], self._patience)
        self._patience = 1
        return norms[0]

    def parts(self) -> list[Packed]:
        """Those of the state as it is. Raises `ServerLost`."""
        return self._get([server.run.remote("state") for server in self.actors])

    def joined(self, parts: list[Packed]) -> OnPolicyState:
        """The state of which these are the parts, which may lie in memory that goes with Ray."""
        own: list[Packed] = [[np.array(x) for x in part] for part in parts]
        return self._join([unpack(*part) for part in zip(self._structures, own)])

    def _get(self, references: list[Any], deadlines: int = 1) -> list[Any]:
        until, ready = awake.now() + deadlines * self._deadline, []
        while len(ready) < len(references):
            ready, _ = self._ray.wait(references, num_returns=len(references), timeout=LOOK)
            if awake.now() > until:
                raise ServerLost(f"does not answer in {deadlines * self._deadline:g} s")
        try:
            return self._ray.get(references)
        except Exception as error:
            if not gone(self._ray, error):
                raise raised(error) from error
            raise ServerLost("died") from error

    def close(self) -> None:
        """Ends all of them."""
        for server in self.actors:
            self._ray.kill(server, no_restart=True)
        self.actors = []
