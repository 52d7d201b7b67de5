"""Turns a learner into compiled programs over devices and members.

Every leaf of a state has two leading axes `[D, K, ...]`: D devices that share the environments of
one learner, and K members (seeds, or a sweep's settings) that know nothing of each other. Members
that are shared out among devices never wait for each other. Those of one device run one after
another on a CPU, and elsewhere side by side, as one batch. Branches stay branches in both: see
`core.parallel.any_member`.
"""

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Int, Key

from shoal.core.algorithm import Learner, Metrics, Policy
from shoal.core.errors import require
from shoal.core.parallel import AXIS, MEMBERS

State = Any
Fetched = dict[str, np.ndarray]
_AXES, _AXIS_TYPES = (AXIS, "members"), (AxisType.Auto, AxisType.Auto)
# Compiles in a quarter of the time, for what runs once.
_COMPILE_FAST = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}
STATE_SPEC, MEMBERS_SPEC = PartitionSpec(*_AXES), PartitionSpec("members")
REPLICATED_SPEC = PartitionSpec()


class Program:
    """`learners` is a learner whose array leaves have a leading axis K (see `stack`)."""

    def __init__(
        self,
        learners: Learner,
        devices: int = 1,
        member_devices: int = 1,
        side_by_side: bool | None = None,
    ):
        """Members are shared out among `member_devices` groups of `devices` devices each. Those of
        one device run `side_by_side`, or else one after another; not said, the backend decides."""
        self._shape = (devices, member_devices)
        self._side_by_side = side_by_side
        self._updated: Any = None
        self._arrays, self._static = eqx.partition(learners, eqx.is_array)

    @cached_property
    def _mesh(self) -> Mesh:
        available, needed = jax.devices(), math.prod(self._shape)
        require(
            needed <= len(available),
            f"the run needs {needed} devices, there are {len(available)}",
        )
        devices = np.array(available[:needed]).reshape(self._shape)
        return Mesh(devices, _AXES, axis_types=_AXIS_TYPES)

    @cached_property
    def _init(self) -> Any:
        init = self._share(self._init_members, self._mesh, (MEMBERS_SPEC, MEMBERS_SPEC))
        return jax.jit(init, compiler_options=_COMPILE_FAST if _on_cpu() else None)

    @cached_property
    def _run(self) -> Any:
        specs = (MEMBERS_SPEC, STATE_SPEC, REPLICATED_SPEC, STATE_SPEC)
        return jax.jit(self._share(self._run_members, self._mesh, specs), donate_argnums=1)

    def open(self) -> None:
        """Nothing has to be there first: devices are."""

    def traced(self, keys: Key[Array, "K"]) -> tuple[State, State, Any]:
        """One member's part of one device, as shapes and dtypes: its state, the same after an
        update, and that update's metrics. What is traced here, `init` and `run` compile."""
        init = self._share(self._init_members, self._mesh, (MEMBERS_SPEC, MEMBERS_SPEC))
        state = jax.eval_shape(init, self._arrays, keys)
        return shapes_of((state, *self._update_shapes(state)), 2)

    def init(self, keys: Key[Array, "K"]) -> State:
        """A fresh state for K keys."""
        return self._init(self._arrays, keys)

    def run(
        self, state: State, updates: int, sums: Mapping[str, Any] | None = None
    ) -> tuple[State, Fetched, Fetched]:
        """Makes that many updates; the old state's memory is reused. Also returns the metrics' sums
        over the updates, which go on from `sums`, and their last values, `[K]` each, fetched.

        Nothing may queue up behind a program whose devices wait for each other, not even a slice of
        each metric: jaxlib 0.10 blocks a device's thread when too many programs wait for their
        turn, and where it had not begun its part yet, the others wait for it for ever.
        """
        start = self._start(state, sums)
        state, metrics = self._run(self._arrays, state, jnp.int32(updates), start)
        total, last = jax.tree.map(lambda x: x[0], self._read(metrics))
        return state, total, last

    def template(self, keys: Key[Array, "K"]) -> State:
        """Shapes and dtypes of a state, for checkpoints; computes nothing and needs no devices."""
        mesh = AbstractMesh(self._shape, _AXES, axis_types=_AXIS_TYPES)
        init = self._share(self._init_members, mesh, (MEMBERS_SPEC, MEMBERS_SPEC))
        return jax.eval_shape(init, self._arrays, keys)

    def place(self, state: State) -> State:
        """Puts a state from a checkpoint onto the devices."""
        return jax.device_put(state, NamedSharding(self._mesh, STATE_SPEC))

    def fetch(self, state: State) -> State:
        """The state as a checkpoint keeps it: this one."""
        return state

    def policies(self, state: State) -> Policy:
        """The policies of all members, as one whose arrays have a leading axis K. Devices agree on
        them; they are on the first."""
        arrays = jax.device_put(self._policy_arrays(self._arrays, state), jax.devices()[0])
        return eqx.combine(arrays, structure_of(self._policy_shapes(state)))

    def policies_template(self, keys: Key[Array, "K"]) -> Policy:
        """`policies` with shapes and dtypes for arrays; computes nothing and needs no devices."""
        shapes = self._policy_shapes(self.template(keys))
        return jax.tree.map(lambda x: with_axis(x, len(keys)), shapes)

    @cached_property
    def _policy_arrays(self) -> Any:
        def one(x: Any) -> Any:
            return eqx.filter(policy_of(self._learner(x[0]), x[1]), eqx.is_array)

        return jax.jit(
            lambda arrays, state: self._map(one, (arrays, jax.tree.map(lambda x: x[0], state)))
        )

    def _policy_shapes(self, state: State) -> Policy:
        """The policy of one member, with shapes and dtypes for arrays."""
        arrays, state = shapes_of(self._arrays, 1), shapes_of(state, 2)
        return eqx.filter_eval_shape(lambda a, s: policy_of(self._learner(a), s), arrays, state)

    def _read(self, tree: Any) -> Any:
        """Arrays that are on devices, as NumPy's."""
        return jax.device_get(tree)

    def _share(self, fn: Any, mesh: Mesh | AbstractMesh, in_specs: tuple) -> Any:
        # check_vma=False: the average over devices is taken of gradients (core.descend), which is
        # right only without the automatic sums that the check brings along.
        return jax.shard_map(
            fn, mesh=mesh, in_specs=in_specs, out_specs=STATE_SPEC, check_vma=False
        )

    def _map(self, fn: Any, xs: Any) -> Any:
        """Over the members of this device."""
        if jax.tree.leaves(xs)[0].shape[0] == 1:
            return _add_axis(fn(jax.tree.map(lambda x: x[0], xs)))
        side_by_side = not _on_cpu() if self._side_by_side is None else self._side_by_side
        return jax.vmap(fn, axis_name=MEMBERS)(xs) if side_by_side else jax.lax.map(fn, xs)

    def _learner(self, arrays: Any) -> Learner:
        return eqx.combine(arrays, self._static)

    def _init_members(self, arrays: Any, keys: Key[Array, "K"]) -> State:
        return _add_axis(self._map(lambda x: self._begin(*x), (arrays, keys)))

    def _run_members(
        self, arrays: Any, states: State, updates: Int[Array, ""], sums: Metrics
    ) -> tuple[State, tuple[Metrics, Metrics]]:
        states, sums = jax.tree.map(lambda x: x[0], (states, sums))
        xs = (arrays, states, sums)
        return _add_axis(self._map(lambda x: self._repeat(x[0], x[1], updates, x[2]), xs))

    def _repeat(
        self, arrays: Any, state: State, updates: Int[Array, ""], sums: Metrics
    ) -> tuple[State, tuple[Metrics, Metrics]]:
        """`updates` updates in one loop, whose length is not compiled in."""

        def body(_, loop):
            state, sums, _ = loop
            state, metrics = self._update(arrays, state)
            return state, jax.tree.map(jnp.add, sums, metrics), metrics

        last = jax.tree.map(jnp.zeros_like, sums)
        state, sums, last = jax.lax.fori_loop(0, updates, body, (state, sums, last))
        return state, (sums, last)

    # Of one member, as parts of other programs: traced once for all of them.

    @cached_property
    def _begin(self) -> Any:
        return jax.jit(lambda arrays, key: self._learner(arrays).init(key), inline=True)

    @cached_property
    def _update(self) -> Any:
        return jax.jit(lambda arrays, state: self._learner(arrays).update(state), inline=True)

    def _update_shapes(self, state: State) -> tuple[State, Any]:
        """What an update of all members gives."""
        if self._updated is None:

            def update(arrays: Any, states: State) -> tuple[State, Metrics]:
                xs = (arrays, jax.tree.map(lambda x: x[0], states))
                return _add_axis(self._map(lambda x: self._update(*x), xs))

            shared = self._share(update, self._mesh, (MEMBERS_SPEC, STATE_SPEC))
            self._updated = jax.eval_shape(shared, self._arrays, state)
        return self._updated

    def _start(self, state: State, sums: Mapping[str, Any] | None = None) -> Fetched:
        """What the metrics' sums go on from, `[D, K]` each: all devices agree on them."""
        return {
            name: np.broadcast_to(np.asarray((sums or {}).get(name, 0), x.dtype), x.shape)
            for name, x in self._update_shapes(state)[1].items()
        }


def stack(learners: Sequence[Learner]) -> Learner:
    """Joins learners of one structure. Arrays, and numbers that differ, get a leading axis K; a
    number that all have in common stays a constant of the program."""

    def join(*xs: Any) -> Any:
        if not eqx.is_array(xs[0]) and all(x == xs[0] for x in xs):
            return xs[0]
        return jnp.stack([jnp.asarray(x) for x in xs])

    return jax.tree.map(join, *learners)


def keys_of(members: Sequence[Mapping[str, Any]]) -> Key[Array, "K"]:
    """What the states of members with those settings start from."""
    return jnp.stack([jax.random.key(m["seed"]) for m in members])


def policy_of(learner: Learner, state: State) -> Policy:
    """A learner's policy, with JAX's arrays for NumPy's: those are data too."""
    policy = learner.policy(state)
    return jax.tree.map(lambda x: jnp.asarray(x) if isinstance(x, np.ndarray) else x, policy)


def shapes_of(tree: Any, axes: int) -> Any:
    """The shapes and dtypes of arrays without that many leading axes."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[axes:], x.dtype), tree)


def with_axis(x: Any, size: int) -> Any:
    """The shape of `size` such arrays, stacked; what is no array stays as it is."""
    return jax.ShapeDtypeStruct((size, *x.shape), x.dtype) if is_shape(x) else x


def structure_of(shapes: Any) -> Any:
    """What is no array, as `filter_eval_shape` gives it."""
    return eqx.filter(shapes, is_shape, inverse=True)


def is_shape(x: Any) -> bool:
    """Whether a leaf stands for an array."""
    return isinstance(x, jax.ShapeDtypeStruct)


def _add_axis(tree: Any) -> Any:
    return jax.tree.map(lambda x: x[None], tree)


def _on_cpu() -> bool:
    return jax.default_backend() == "cpu"
