"""Workers on Ray: the same run as on devices where there is no chance in it, and no work lost."""

import os
import signal
from importlib.util import find_spec

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import shoal
from shoal.agents.policy_gradient.impala import impala
from shoal.agents.stale import Stale
from shoal.distributed.cluster import cluster
from shoal.distributed.collecting import AsTheyCome, pair
from shoal.distributed.crew import Answer, Crew
from shoal.distributed.rollouts import RolloutProgram
from shoal.runs.config import Config
from shoal.runs.fields import fields_of
from shoal.training.learners import make_learner
from shoal.training.program import Program, stack

pytestmark = pytest.mark.skipif(find_spec("ray") is None, reason="needs ray")
WORKERS = 2


@pytest.fixture(scope="module", autouse=True)
def ray():
    with cluster("", WORKERS, 0) as ray:
        yield ray


def config_of(algorithm, env, /, **settings) -> Config:
    return Config(
        **{
            **{"algorithm": "impala", "algorithm_fields": fields_of(algorithm)},
            **{"environment": env.spec.name, "environment_fields": fields_of(env)},
            **{"total_steps": 100_000, "num_envs": 4, "unroll": 5, "workers": WORKERS},
            **settings,
        }
    )


def program_of(algorithm, env, **settings) -> RolloutProgram:
    config = config_of(algorithm, env, **settings)
    learner = make_learner(algorithm, env, config.num_envs, config.unroll, config.total_steps)
    return RolloutProgram([learner], env, config)


def close(a, b, tolerance=1e-5):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance)


def test_in_order_it_is_the_run_of_as_many_devices_one_update_behind():
    algorithm, env = impala(hidden=(8,)), shoal.make("mpe/simple_spread")
    keys = jax.random.key(3)[None]
    stale = make_learner(Stale(algorithm, lag=1), env, 4, 5, 100_000)
    program = Program(stack([stale]), devices=WORKERS)
    there, sums, _ = program.run(program.init(keys), 6)

    with program_of(algorithm, env, deterministic=True) as distant:
        state = distant.init(keys)
        distant.run(state, 0)
        here, totals, _ = distant.run(state, 4)
        kept = jax.device_get(distant.fetch(here))
        here, totals, _ = distant.run(here, 2, totals)
    close(jax.tree.map(lambda x: x[0, 0], there.algorithm), here.algorithm)
    assert totals["episodes"] == WORKERS * sums["episodes"]
    assert totals["lag"] == totals["lag_max"] == 6

    with program_of(algorithm, env, deterministic=True) as resumed:
        again, _, _ = resumed.run(resumed.place(kept), 2)
    same(here, again)


def is_key(x) -> bool:
    return jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


def same(a, b):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        one, other = (jax.random.key_data(v) if is_key(v) else v for v in (x, y))
        assert np.array_equal(one, other)


def test_in_order_a_worker_that_is_killed_changes_nothing(capsys):
    algorithm, env = impala(hidden=(8,)), shoal.make("mpe/simple_spread")
    ends = []
    for kills in (False, True):
        with program_of(algorithm, env, deterministic=True) as program:
            state = program.init(jax.random.key(0)[None])
            for update in range(4):
                state, _, _ = program.run(state, 1)
                if kills and update == 1:
                    os.kill(program.crew.pids[0], signal.SIGKILL)
            ends.append(state.algorithm)
            assert program.crew.restarts == kills
    same(*ends)
    assert "worker 0 died: it is replaced" in capsys.readouterr().err


def test_coordinators_change_nothing_but_the_messages():
    algorithm, env = impala(hidden=(8,)), shoal.make("mpe/simple_spread")
    ends, messages = [], []
    for coordinators in (0, 1):
        settings = {"deterministic": True, "coordinators": coordinators}
        with program_of(algorithm, env, **settings) as program:
            state, sums, last = program.run(program.init(jax.random.key(0)[None]), 3)
            ends.append((state.algorithm, program.here, sums["episodes"]))
            messages.append(last["messages"])
    (flat, here, ended), (tree, there, finished) = ends
    close(flat, tree, tolerance=1e-6)
    close([leaf for loop in here for leaf in loop], [leaf for loop in there for leaf in loop])
    assert messages == [4, 2] and ended == finished


def test_as_they_come_a_coordinator_has_keys_of_its_own_for_each_worker():
    algorithm, env = impala(hidden=(8,)), shoal.make("mpe/simple_spread")
    with program_of(algorithm, env, coordinators=1) as program:
        state = program.init(jax.random.key(0)[None])
        (sample,) = program._gather(state)
        state, sums, last = program.run(state, 3)
    steps = program._trajectories([sample])[0].transitions
    assert steps.action.shape[:2] == (5, 4)
    assert len({bytes(np.asarray(steps.timestep.obs[0, env])) for env in range(4)}) == 4
    assert np.isfinite(sums["loss"]) and last["messages"] == 2


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_as_they_come_nothing_counts_twice_and_a_lost_worker_is_replaced(how):
    algorithm, env = impala(hidden=(8,)), shoal.make("mpe/simple_spread")
    with program_of(algorithm, env, deadline=2.0) as program:
        state = program.init(jax.random.key(0)[None])
        program.run(state, 0)
        state, sums, _ = program.run(state, 3)
        os.kill(program.crew.pids[1], how)
        while program.crew.restarts == 0 or len(program.crew.present) < WORKERS:
            state, sums, last = program.run(state, 1, sums)
        # 10 environment steps a sample, and episodes of 25 in step: none is left out or twice.
        assert last["lag_max"] <= program.config.staleness
        rates = [last[f"worker_steps_per_second/{k}"] for k in range(WORKERS)]
        slowest = int(last["slowest_worker"][0])
        assert min(rates) == rates[slowest] == last["worker_steps_per_second_min"] < max(rates)
        assert program.crew.restarts == 1
        updates = int(state.updates)
        ended = sums["episodes"] * 25
        made = updates * 20
        assert made - 4 * 25 - 2 * 2 * 10 <= ended <= made


def test_what_is_too_old_is_refused():
    crew = FakeCrew()
    coming = AsTheyCome(crew, staleness=1, random=pair)
    keys = jax.random.split(jax.random.key(0), 2)
    crew.give = [0, 0]
    assert [s.version for s in coming.wait(0, list, keys)] == [0, 0]
    crew.give = [0, 1, 3]
    samples = coming.wait(1, list, keys)
    assert [s.version for s in samples] == [0, 1]
    crew.give = [0, 1, 3, 3]
    assert [s.version for s in coming.wait(3, list, keys)] == [3, 3]
    assert coming.refused == 2


class FakeCrew(Crew):
    """Two workers of any speed: gives samples of the versions that it is told."""

    def __init__(self):
        self.give, self.asked = [], []

    def __len__(self):
        return 2

    def put(self, packed):
        return packed

    def free(self, ahead):
        return []

    def answers(self):
        version = self.give.pop(0)
        return [Answer(0, version, ([], {}), None, lost=False)]


def test_environments_of_the_host_are_collected_as_well():
    env = shoal.make("gymnasium:CartPole-v1")
    algorithm = impala(hidden=(8,))
    with program_of(algorithm, env) as program:
        state = program.init(jax.random.key(0)[None])
        state, sums, _ = program.run(state, 8)
        assert sums["episodes"] > 0 and np.isfinite(sums["loss"])
