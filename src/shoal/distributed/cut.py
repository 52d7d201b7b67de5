"""How the parameters of one run are shared out among several servers: array by array, so that each
has about as many bytes, with that part of the optimizers that steps them."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from shoal.agents.on_policy import OnPolicyState
from shoal.agents.policy_gradient.a2c import Gradient
from shoal.core.descend import Optimizers, Params
from shoal.core.errors import require
from shoal.distributed.arrays import num_bytes


class Cut:
    """Cuts what is shaped as that state into `count` parts, and joins them again.

    A part has of each learned network a list of its arrays, which may be empty. What there is
    besides (scales, and networks that are not learned) is in the first.

    Raises:
        UserError: there are fewer arrays than parts.
    """

    def __init__(self, state: OnPolicyState, count: int):
        learned = {name: jax.tree.leaves(state.params[name]) for name in state.optimizers}
        self._structures = {name: jax.tree.structure(state.params[name]) for name in learned}
        self._columns = {
            name: np.cumsum([0, *(x.size // len(state.optimizers[name].skipped) for x in arrays)])
            for name, arrays in learned.items()
        }
        arrays = [(num_bytes(x), name, i) for name, xs in learned.items() for i, x in enumerate(xs)]
        require(
            count <= len(arrays),
            f"servers is {count}, expected at most the {len(arrays)} arrays of parameters",
        )
        self.bytes = [0] * count
        self._parts: list[dict[str, list[int]]] = [
            {name: [] for name in learned} for _ in range(count)
        ]
        for size, name, i in sorted(arrays, key=lambda array: -array[0]):
            part = self.bytes.index(min(self.bytes))
            self.bytes[part] += size
            self._parts[part][name] = sorted([*self._parts[part][name], i])  # one part is the whole

    def pulled(self, whole: tuple[Params, Any, Any]) -> list[Any]:
        """The parts of parameters, scales and what is kept."""
        params, scales, kept = whole
        rest = {name: x for name, x in params.items() if name not in self._structures}
        first, *others = self._arrays(params)
        return [(first | rest, scales, kept), *((own, None, None) for own in others)]

    def whole(self, parts: list[Any]) -> tuple[Params, Any, Any]:
        """The inverse of `pulled`."""
        params, scales, kept = parts[0]
        return params | self._joined([own for own, _, _ in parts]), scales, kept

    def gradients(self, gradient: Gradient) -> list[Gradient]:
        """The parts of a gradient."""
        first, *others = self._arrays(gradient.params)
        own = dataclasses.replace(gradient, params=first)
        return [own, *(Gradient(params, None, None) for params in others)]

    def states(self, state: OnPolicyState) -> list[OnPolicyState]:
        """The parts of a state."""
        pulled = self.pulled((state.params, state.scales, state.kept))
        return [
            OnPolicyState(params, self._optimizers(state.optimizers, part), scales, kept)
            for part, (params, scales, kept) in enumerate(pulled)
        ]

    def state(self, parts: list[OnPolicyState]) -> OnPolicyState:
        """The inverse of `states`."""
        params, scales, kept = self.whole([(p.params, p.scales, p.kept) for p in parts])
        first = parts[0].optimizers
        optimizers = {}
        for name, optimizer in first.items():

            def join(*xs: Any, name: str = name) -> Any:
                return self._rows(name, xs) if xs[0].ndim == 2 else xs[0]

            moments = jax.tree.map(join, *(p.optimizers[name].moments for p in parts))
            optimizers[name] = dataclasses.replace(optimizer, moments=moments)
        return OnPolicyState(params, optimizers, scales, kept)

    def _arrays(self, params: Params) -> list[Params]:
        leaves = {name: jax.tree.leaves(params[name]) for name in self._structures}
        return [
            {name: [leaves[name][i] for i in own] for name, own in part.items()}
            for part in self._parts
        ]

    def _joined(self, parts: list[Params]) -> Params:
        found = {}
        for name, structure in self._structures.items():
            places = [i for part in self._parts for i in part[name]]
            arrays = [x for part in parts for x in part[name]]
            by_place = dict(zip(places, arrays, strict=True))
            found[name] = structure.unflatten([by_place[i] for i in range(len(places))])
        return found

    def _own(self, name: str, part: int, x: Any) -> Any:
        """A part's columns of a network's rows of parameters."""
        bounds = self._columns[name]
        own = [x[:, bounds[i] : bounds[i + 1]] for i in self._parts[part][name]]
        return jnp.concatenate(own, 1) if own else x[:, :0]

    def _rows(self, name: str, parts: Sequence[Any]) -> Any:
        """The inverse of `_own`."""
        found, bounds = {}, self._columns[name]
        for places, x in zip(self._parts, parts, strict=True):
            begin = 0
            for i in places[name]:
                end = begin + bounds[i + 1] - bounds[i]
                found[i], begin = x[:, begin:end], end
        return jnp.concatenate([found[i] for i in range(len(found))], 1)

    def _optimizers(self, optimizers: Optimizers, part: int) -> Optimizers:
        found = {}
        for name, optimizer in optimizers.items():
            moments = jax.tree.map(
                lambda x, name=name: self._own(name, part, x) if x.ndim == 2 else x,
                optimizer.moments,
            )
            found[name] = dataclasses.replace(optimizer, moments=moments)
        return found
