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
from shoal.distributed.arrays import pack, unpack
from shoal.distributed.cluster import cluster
from shoal.distributed.crew import Answer, Crew
from shoal.distributed.gradients import Pushed
from shoal.distributed.pushes import Pushes
from shoal.distributed.server import ServerProgram
from shoal.training.learners import make_learners

WORKERS, SERVERS, KEY = 2, 2, jax.random.key(0)


@pytest.fixture(scope="module")
def ray():
    if find_spec("ray") is None:
        pytest.skip("needs ray")
    with cluster("", WORKERS + SERVERS, 0) as ray:
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
                acting, packed = algo.acting(expected), pack(loops[worker])
                trajectory, _, packed = program.share.collect(acting, packed, keys[worker], KEY)
                loops[worker] = unpack(program.share.loop, packed or [])
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


def test_coordinators_and_servers_change_nothing_but_the_traffic(ray, capsys):
    """And a server that dies changes nothing at all."""
    algorithm, env = a2c(hidden=(8,), max_grad_norm=0.1), shoal.make("mpe/simple_spread")
    ends, traffic = [], []
    for where in ({}, {"coordinators": 1}, {"servers": SERVERS}):
        with program_of(algorithm, env, deterministic=True, **where) as program:
            state, sums, _ = program.run(program.init(jax.random.key(1)[None]), 2)
            if program._servers is not None:
                ray.kill(program._servers.actors[1])
            state, sums, last = program.run(state, 2, sums)
            assert sums["actor_grad_norm"] > 4 * 0.1  # it is clipped
            ends.append((program.fetch(state).algorithm, program.here, sums["loss"]))
            traffic.append({n: last[n] for n in ("pulled_bytes", "pushed_bytes", "messages")})
    for end in ends[1:]:
        (flat, here, loss), (other, there, lost) = ends[0], end
        close(flat, other, tolerance=1e-6)
        close([leaf for loop in here for leaf in loop], [leaf for loop in there for leaf in loop])
        close(loss, lost)
    assert all(2 * traffic[1][n] == traffic[0][n] for n in traffic[0])
    assert traffic[2] == traffic[0]
    said = "a server died: all of them, and the workers, begin at 2"
    assert capsys.readouterr().err.splitlines() == [f"shoal: {said}"]


@pytest.mark.parametrize(("server", "servers"), [("async", SERVERS), ("ssp", 1)])
def test_as_they_come_every_gradient_is_an_update_and_a_lost_worker_is_replaced(
    ray, server, servers
):
    algorithm, env = a2c(hidden=(8,)), shoal.make("mpe/simple_spread")
    with program_of(algorithm, env, server=server, servers=servers, staleness=1) as program:
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
        pushed = Pushed([np.full(1, worker)], {}, {})
        return [Answer(worker, self.asked.pop(worker), pushed, None, lost=False)]


def take(pushes, version):
    keys = jax.random.split(jax.random.key(0), len(pushes.crew))
    return pushes.next(version, ["weights"], keys, np.float32(0))


def test_staleness_reaches_its_bound_and_never_passes_it():
    """Worker 1 never answers before the others may not go on."""
    order = [0] * 9 + [1] + [0] * 9
    crew = Script(2, order)
    pushes, found = Pushes(crew, bound=3), []
    for version in range(4):
        found.append(take(pushes, version).ahead)
    assert found == [0, 1, 2, 3]
    assert crew.asked.keys() == {1}  # worker 0 waits for it
    assert [take(pushes, 4).ahead, take(pushes, 5).ahead] == [0, 3]
    free = Pushes(Script(2, order))
    assert [take(free, version).ahead for version in range(9)] == list(range(9))


def test_a_synchronous_server_does_not_wait_for_its_backups():
    """By hand: of four, those that come first; the last one's gradient is of an old version."""
    crew = Script(4, [2, 0, 3, 1, 0, 1, 2])
    pushes = Pushes(crew)
    keys = jax.random.split(jax.random.key(0), 4)
    first = pushes.first(3, 0, ["weights"], keys, np.float32(0))
    assert [p.pushed.gradient[0][0] for p in first] == [2, 0, 3]
    second = pushes.first(3, 1, ["weights"], keys, np.float32(0))
    assert [p.pushed.gradient[0][0] for p in second] == [0, 1, 2]
    assert pushes.dropped == 1
