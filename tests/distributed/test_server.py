"""A server of parameters, in all its modes, and whose gradient it takes."""

import os
import signal
from importlib.util import find_spec

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_rollouts import close, config_of, same

import shoal
from shoal.agents.cooperative.vdn import vdn
from shoal.agents.policy_gradient.a2c import Gradient, a2c
from shoal.core.errors import UserError
from shoal.distributed.cluster import cluster
from shoal.distributed.crew import Answer, Crew
from shoal.distributed.gradients import Pushed
from shoal.distributed.pushes import Pushes
from shoal.distributed.server import ServerProgram
from shoal.training.learners import make_learners

WORKERS = 2


@pytest.fixture(scope="module")
def ray():
    if find_spec("ray") is None:
        pytest.skip("needs ray")
    with cluster("", WORKERS, 0) as ray:
        yield ray


def program_of(algorithm, env, /, **settings) -> ServerProgram:
    config = config_of(algorithm, env, **{"algorithm": "a2c", "server": "sync", **settings})
    return ServerProgram(make_learners(config, algorithm, env), env, config)


def test_together_workers_make_the_step_of_the_mean_of_their_gradients(ray):
    """By hand: each share collected and differentiated here, from the same keys."""
    algorithm, env = a2c(hidden=(8,), normalise_observations=True), shoal.make("mpe/simple_spread")
    with program_of(algorithm, env, deterministic=True) as program:
        state = program.init(jax.random.key(1)[None])
        expected, loops, algo = state.algorithm, list(state.loops), program.algorithm
        now = state
        for _ in range(3):
            keys = jax.vmap(lambda k: jax.random.split(k, 3))(now.keys)[:, 1]
            gradients = []
            for worker in range(WORKERS):
                found = program.share._collect(algo.acting(expected), loops[worker], keys[worker])
                loops[worker], trajectory, _ = found
                gradients.append(algo.gradient(expected, trajectory)[0])
            expected, _ = algo.apply(
                expected, Gradient.mean(gradients), jnp.float32(program.progress(now))
            )
            now, _, _ = program.run(now, 1)
        close(now.algorithm, expected)
        kept = jax.device_get(program.fetch(now))
        now, _, _ = program.run(now, 1)
    with program_of(algorithm, env, deterministic=True) as resumed:
        again, _, _ = resumed.run(resumed.place(kept), 1)
    same(now.algorithm, again.algorithm)


def test_coordinators_change_nothing_but_the_traffic(ray):
    algorithm, env = a2c(hidden=(8,)), shoal.make("mpe/simple_spread")
    ends, traffic = [], []
    for coordinators in (0, 1):
        settings = {"deterministic": True, "coordinators": coordinators}
        with program_of(algorithm, env, **settings) as program:
            state = program.init(jax.random.key(1)[None])
            state, _, last = program.run(state, 3)
            ends.append((state.algorithm, program.here))
            traffic.append({n: last[n] for n in ("pulled_bytes", "pushed_bytes", "messages")})
    (flat, here), (tree, there) = ends
    close(flat, tree, tolerance=1e-6)
    close([leaf for loop in here for leaf in loop], [leaf for loop in there for leaf in loop])
    assert all(2 * traffic[1][n] == traffic[0][n] for n in traffic[0])


@pytest.mark.parametrize("server", ["async", "ssp"])
def test_as_they_come_every_gradient_is_an_update_and_a_lost_worker_is_replaced(ray, server):
    algorithm, env = a2c(hidden=(8,)), shoal.make("mpe/simple_spread")
    with program_of(algorithm, env, server=server, staleness=1) as program:
        state = program.init(jax.random.key(1)[None])
        state, sums, last = program.run(state, 6)
        os.kill(program.crew.pids[0], signal.SIGKILL)
        while program.crew.restarts == 0 or len(program.crew.present) < WORKERS:
            state, sums, last = program.run(state, 1, sums)
        assert np.isfinite(last["loss"]) and program.crew.restarts == 1
        assert sums["ahead"] <= int(state.updates)  # never more than 1 ahead
        assert sums["pulled_bytes"] > 0 and sums["pushed_bytes"] > 0


def test_who_cannot_is_told_who_can():
    env = shoal.make("mpe/simple_spread")
    with pytest.raises(UserError, match="use one of a2c, maa2c"):
        program_of(vdn(), env, algorithm="vdn")
    with pytest.raises(UserError, match="epochs and minibatches must be 1"):
        program_of(a2c(epochs=2), env)
    with pytest.raises(UserError, match="backups is 2"):
        program_of(a2c(), env, backups=2)
    with pytest.raises(UserError, match="waits for everyone"):
        program_of(a2c(), env, server="async", deterministic=True)


class Script(Crew):
    """Workers that answer in the order that they are told, with the worker as their gradient."""

    def __init__(self, count, order):
        self.count, self.order, self.asked = count, list(order), {}

    def __len__(self):
        return self.count

    @property
    def present(self):
        return list(range(self.count))

    def put(self, packed):
        return packed

    def free(self, ahead=1):
        return [w for w in range(self.count) if w not in self.asked]

    def ask(self, worker, method, *words, note=None):
        self.asked[worker] = note

    def answers(self):
        worker = next(w for w in self.order if w in self.asked)
        self.order.remove(worker)
        pushed = Pushed([np.float32([worker])], {}, {})
        return [Answer(worker, self.asked.pop(worker), pushed, None, lost=False)]


def take(pushes, version):
    keys = jax.random.split(jax.random.key(0), len(pushes.crew))
    return pushes.next(version, [], keys, np.float32(0))


def test_staleness_reaches_its_bound_and_never_passes_it():
    """Worker 1 never answers before the others may not go on."""
    order = [0] * 9 + [1] + [0] * 9
    pushes = Pushes(Script(2, order), bound=3)
    found = []
    for version in range(4):
        found.append(take(pushes, version).ahead)
    assert found == [0, 1, 2, 3]
    assert pushes.crew.asked.keys() == {1}  # worker 0 waits for it
    assert [take(pushes, 4).ahead, take(pushes, 5).ahead] == [0, 3]
    free = Pushes(Script(2, order))
    assert [take(free, version).ahead for version in range(9)] == list(range(9))


def test_a_synchronous_server_does_not_wait_for_its_backups():
    """By hand: of four, those that come first; the last one's gradient is of an old version."""
    crew = Script(4, [2, 0, 3, 1, 0, 1, 2])
    pushes = Pushes(crew)
    keys = jax.random.split(jax.random.key(0), 4)
    first = pushes.first(3, 0, [], keys, np.float32(0))
    assert [p.pushed.gradient[0][0] for p in first] == [2, 0, 3]
    second = pushes.first(3, 1, [], keys, np.float32(0))
    assert [p.pushed.gradient[0][0] for p in second] == [0, 1, 2]
    assert pushes.dropped == 1
