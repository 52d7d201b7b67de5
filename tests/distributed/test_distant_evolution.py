"""Evolution at a distance: numbers alone travel, and nobody's fate changes an update."""

import os
import signal
from importlib.util import find_spec

import jax
import jax.numpy as jnp
import pytest
from test_rollouts import close, config_of, same

import shoal
from shoal.agents.evolution.novelty_es import nsres
from shoal.agents.evolution.openai_es import openai_es
from shoal.agents.evolution.snes import snes
from shoal.distributed.arrays import pack, size
from shoal.distributed.cluster import cluster
from shoal.distributed.evolution import EvolutionProgram, Part, digest, parts_of
from shoal.training.learners import make_learners

WORKERS = 2


@pytest.fixture(scope="module", autouse=True)
def ray():
    if find_spec("ray") is None:
        pytest.skip("needs ray")
    with cluster("", WORKERS, 0) as ray:
        yield ray


def program_of(algorithm, env, /, **settings) -> EvolutionProgram:
    config = config_of(algorithm, env, **{"num_envs": 16, "unroll": 25, **settings})
    return EvolutionProgram(make_learners(config, algorithm, env), env, config)


def by_hand(program, state, generations):
    """The same search, all of it here."""
    part, algorithm = Part(program.algorithm, program.env, program.config), state.algorithm
    tell = jax.jit(lambda *told: program.algorithm.tell(*told))
    for _ in range(generations):
        keys, _, key = program.keys(state)
        count = parts_of(program.algorithm.population)
        own = [jax.random.fold_in(key, k) for k in range(count)]
        found = [part.play(algorithm, jnp.int32(k * part.count), own[k])[0] for k in range(count)]
        fitness = jnp.concatenate([f[0] for f in found])
        seen = found[0][2] and tuple(
            m and type(m).of_all([f[2][i] for f in found]) for i, m in enumerate(found[0][2])
        )
        behaviours = None if found[0][1] is None else jnp.concatenate([f[1] for f in found])
        algorithm, _ = tell(algorithm, fitness, behaviours, seen)
        state = type(state)(algorithm, keys, state.updates + 1, None)
    return algorithm


@pytest.mark.parametrize("make", [openai_es, snes, nsres])
def test_whoever_dies_the_update_is_the_same_to_the_bit(make):
    algorithm = make(population=16, hidden=(8,), normalise_observations=True)
    env, ends = shoal.make("mpe/simple_spread"), []
    for dies in (False, True):
        with program_of(algorithm, env, algorithm=make.__name__) as program:
            start = program.init(jax.random.key(2)[None])
            state, sums, _ = program.run(start, 1)
            if dies:
                os.kill(program.crew.pids[0], signal.SIGKILL)
            state, sums, _ = program.run(state, 3, sums)
            ends.append(state.algorithm)
            assert program.crew.restarts == dies
            assert sums["episodes"] == 4 * 16
    same(*ends)
    close(ends[0].params, by_hand(program, start, 4).params, 1e-3)  # which rounds otherwise


def test_what_travels_does_not_grow_with_the_parameters():
    env, traffic = shoal.make("mpe/simple_spread"), []
    for hidden in ((4,), (64, 64)):
        algorithm = openai_es(population=16, hidden=hidden)
        with program_of(algorithm, env, algorithm="openai_es") as program:
            state = program.init(jax.random.key(0)[None])
            state, _, _ = program.run(state, 1)
            state, _, last = program.run(state, 1)
            again = last["asked_again"] * program._told_bytes  # of workers lost on a busy machine
            traffic.append((last["told_bytes"] - again, last["restored_bytes"]))
            assert last["told_bytes"] < size(pack(state.algorithm)) or hidden == (4,)
    assert traffic[0] == traffic[1] and traffic[0][1] == 0


def test_whose_parameters_are_others_is_sent_them_again():
    algorithm, env = openai_es(population=16, hidden=(4,)), shoal.make("mpe/simple_spread")
    with program_of(algorithm, env, algorithm="openai_es") as program:
        start = program.init(jax.random.key(0)[None])
        state, _, _ = program.run(start, 1)
        program._told = program.crew.put(pack([jnp.zeros((16, 1))]))  # as if it had been another
        state, _, last = program.run(state, 1)
        assert last["restored_bytes"] > 0 and last["asked_again"] > 0
        close(state.algorithm.params, by_hand(program, start, 2).params, 1e-3)


def test_a_digest_is_of_every_parameter():
    algorithm, env = openai_es(population=16, hidden=(4,)), shoal.make("mpe/simple_spread")
    state = algorithm.init(env.spec, jax.random.key(0))
    for leaf in range(len(jax.tree.leaves(state.params))):
        leaves, structure = jax.tree.flatten(state.params)
        leaves[leaf] = jnp.nextafter(leaves[leaf], jnp.inf)
        other = type(state)(structure.unflatten(leaves), *list(vars(state).values())[1:])
        assert digest(other) != digest(state)


@pytest.mark.parametrize("population", [2, 16, 30, 128, 100, 34])
def test_parts_are_of_pairs(population):
    count = parts_of(population)
    assert population % count == 0 and (population // count) % 2 == 0 and count <= 16
