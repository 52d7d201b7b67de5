"""A gang: the programs of `training.program` over the devices of several processes.

All ranks hold the same learners and enter the same compiled programs, each with its own part of the
environments; parameters are equal on all of them. Rank 0 is the trainer. The others follow: before
each program rank 0 announces which one comes.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Key

from shoal.core.algorithm import Learner, Policy
from shoal.core.errors import UserError, require
from shoal.distributed.collectives import broadcast
from shoal.distributed.membership import Lost, Membership, joined, losing
from shoal.envs.host.world import World
from shoal.runs.config import Config
from shoal.training.program import (
    MEMBERS_SPEC,
    REPLICATED_SPEC,
    STATE_SPEC,
    Fetched,
    Program,
    State,
    keys_of,
    stack,
    structure_of,
)
from shoal.training.rebuild import rebuild

_RANKS = "ranks"
_RANKS_SPEC = PartitionSpec(_RANKS)


class GangProgram(Program):
    """`Program` over all ranks' devices. What it gives is whole on rank 0: states for checkpoints,
    metrics, and the policies of all members."""

    def __init__(self, learners: Sequence[Learner], env: World, config: Config):
        """Raises `UserError` where this process is no rank of a gang of that size."""
        del env
        gang, needed = joined(), config.devices * config.member_devices
        count = jax.process_count()
        if gang is None or count != config.processes:
            here = f"the run is one of {config.processes} processes, and there are {count}"
            raise UserError(f"{here}: start it with the command shoal")
        require(
            needed == jax.device_count(),
            f"the run needs {needed} devices, and its processes have {jax.device_count()}",
        )
        super().__init__(stack(learners), config.devices, config.member_devices)
        self._gang, self._config, self._keys = gang, config, keys_of(config.members())
        self._known: set[str] = set()  # programs that have been compiled
        self._arrays = self._spread(self._arrays, MEMBERS_SPEC)

    def __enter__(self) -> "GangProgram":
        self._announce("begin", self._config.to_json())
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None or not issubclass(kind, Lost):  # else nobody is there to take leave of
            self._announce("end")
            self._gang.leave()

    def follow(self) -> None:
        """Enters what rank 0 announces, until it says that this is the end."""
        state: State = None
        while True:
            match self._gang.hear():
                case ["init"]:
                    state = self.init(self._keys)
                case ["place"]:
                    state = self.place(self.template(self._keys))
                case ["run", updates, sums]:
                    state, *_ = self.run(state, updates, sums)
                case ["fetch"]:
                    self.fetch(state)
                case ["policies"]:
                    self.policies(state)
                case _:
                    return self._gang.leave()

    def init(self, keys: Key[Array, "K"]) -> State:
        with self._entering("init"):
            return self._even(super().init(self._spread(keys, MEMBERS_SPEC)))

    def run(
        self, state: State, updates: int, sums: Mapping[str, Any] | None = None
    ) -> tuple[State, Fetched, Fetched]:
        plain = sums and {name: np.asarray(value).tolist() for name, value in sums.items()}
        with self._entering("run", updates, plain):
            state, total, last = super().run(state, updates, sums)
            return self._even(state), total, last

    def place(self, state: State) -> State:
        """Gives each rank its part of rank 0's state; elsewhere only its shapes are looked at."""
        with self._entering("place"):
            return jax.tree.map(self._place_leaf, state)

    def fetch(self, state: State) -> State:
        """The whole state, leaf by leaf, so that there is room for it."""
        with self._entering("fetch"):
            return jax.tree.map(self._whole, state)

    def policies(self, state: State) -> Policy:
        with self._entering("policies"):
            arrays = jax.block_until_ready(self._policy_arrays(self._arrays, state))
            arrays = jax.tree.map(self._whole, arrays)
            return eqx.combine(jax.device_put(arrays), structure_of(self._policy_shapes(state)))

    # Announcements.

    def _announce(self, *command: Any) -> None:
        if self._gang.rank == 0:
            self._gang.announce(list(command))

    @contextlib.contextmanager
    def _entering(self, name: str, *words: Any) -> Any:
        """Announces a program. But for the first time, when it is compiled, it must be over within
        the supervisor's deadline."""
        self._announce(name, *words)
        known = name in self._known
        with losing(), self._gang.pulse.step() if known else contextlib.nullcontext():
            yield
        self._known.add(name)

    # Programs that all ranks enter together, and arrays that are on all of them.

    @cached_property
    def _init(self) -> Any:
        return _Together(super()._init, self._gang)

    @cached_property
    def _run(self) -> Any:
        return _Together(super()._run, self._gang)

    @cached_property
    def _policy_arrays(self) -> Any:
        return _Together(super()._policy_arrays, self._gang)

    def _start(self, state: State, sums: Mapping[str, Any] | None = None) -> Any:
        return self._spread(super()._start(state, sums), STATE_SPEC)

    def _read(self, tree: Any) -> Any:
        """Metrics `[D, K]`: the first device's, or what each group of devices has of its members.
        Nothing queues up behind a program whose devices wait for each other."""
        jax.block_until_ready(tree)
        together = self._config.member_devices == 1
        return jax.tree.map(_first if together else self._whole, tree)

    def _at(self, spec: PartitionSpec) -> NamedSharding:
        return NamedSharding(self._mesh, spec)

    def _spread(self, tree: Any, spec: PartitionSpec) -> Any:
        """Arrays that all ranks have alike, each device with its part."""

        def one(x: Any) -> Array:
            x = x if _is_key(x) else np.asarray(x)
            return jax.make_array_from_callback(x.shape, self._at(spec), lambda part: x[part])

        return jax.tree.map(one, tree)

    def _even(self, state: State) -> State:
        """The same, with arrays without elements spread as others are: programs give them whole,
        and each was compiled for one way."""
        return jax.tree.map(lambda x: x if x.size else self._spread(_first(x), STATE_SPEC), state)

    @cached_property
    def _replicate(self) -> Callable[[Array], Array]:
        return jax.jit(lambda x: x, out_shardings=self._at(REPLICATED_SPEC))

    def _whole(self, x: Array) -> Any:
        """An array with the parts of all devices, in the memory of this process."""
        return _first(self._replicate(x))

    def _place_leaf(self, x: Any) -> Array:
        """What rank 0 has, or elsewhere only the shape of."""
        data, generator = x, None
        if _is_key(x):
            generator = x.dtype._impl.name
            data = jax.eval_shape(jax.random.key_data, x)
        if self._gang.rank == 0:
            mine = np.asarray(jax.random.key_data(x) if generator else x)
        else:
            mine = np.zeros(data.shape, data.dtype)
        shape, rows = (self._row.size, *mine.shape), NamedSharding(self._row, _RANKS_SPEC)
        told = self._tell(jax.make_array_from_callback(shape, rows, lambda _: mine[None]))
        whole = np.asarray(told.addressable_data(0))[0]
        if generator:
            whole = jax.random.wrap_key_data(jnp.asarray(whole), impl=generator)
        return self._spread(whole, STATE_SPEC)

    @cached_property
    def _row(self) -> Mesh:
        """All devices in a row, those of rank 0 first."""
        return Mesh(self._mesh.devices.reshape(-1), (_RANKS,))

    @cached_property
    def _tell(self) -> Callable[[Array], Array]:
        """Gives all devices what the first has, to the bit."""
        tell, row = lambda x: broadcast(x, _RANKS), self._row
        return jax.jit(jax.shard_map(tell, mesh=row, in_specs=_RANKS_SPEC, out_specs=_RANKS_SPEC))


class _Together:
    """A program that all ranks enter, called with arrays of the same shapes each time. The first
    time they wait for each other once it is compiled."""

    def __init__(self, program: Any, gang: Membership):
        self._program, self._gang = program, gang
        self._compiled: Any = None

    def __call__(self, *args: Any) -> Any:
        if self._compiled is None:
            self._compiled = self._program.lower(*args).compile()
            self._gang.meet()
        return self._compiled(*args)


def follow(gang: Membership) -> None:
    """What a rank other than 0 does: all that rank 0 announces."""
    _, found = gang.hear()
    config = Config.from_json(found)
    GangProgram(*rebuild(config), config).follow()


def _first(x: Array) -> Any:
    """The part of this process's first device, once it is there."""
    here = jax.block_until_ready(x.addressable_data(0))
    return here if _is_key(x) else np.asarray(here)


def _is_key(x: Any) -> bool:
    return jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
