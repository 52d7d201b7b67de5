"""Large particle environments step on arrays: the same transitions as body by body, in a program
that does not grow with the pairs of bodies."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shoal.envs.particle import world as particle_world
from shoal.envs.particle.simple_adversary import SimpleAdversary
from shoal.envs.particle.simple_spread import SimpleSpread
from shoal.envs.particle.simple_tag import SimpleTag
from shoal.envs.particle.simple_world_comm import SimpleWorldComm
from shoal.registry import ENVIRONMENTS, make

STEPS, EPISODES = 12, 6
WORLDS = {name: name for name in ENVIRONMENTS if name.startswith("mpe/")}
LARGE = {
    "spread of 9": SimpleSpread(num_agents=9),
    "tag of 8": SimpleTag(num_good=3, num_adversaries=5, num_obstacles=4),
    "adversary of 7": SimpleAdversary(num_agents=7),
    "world_comm without obstacles": SimpleWorldComm(num_obstacles=0),
}
CASES = [pytest.param(name, False, id=name) for name in [*WORLDS, *LARGE]]
CASES += [pytest.param(name, True, id=f"{name}, continuous") for name in WORLDS]


def episodes(env):
    """Several random episodes: every state and time step, starts included."""

    def run(key):
        key_reset, key_action, key_step = jax.random.split(key, 3)
        first = env.reset(key_reset)
        shape = (STEPS, env.spec.num_agents, *env.spec.action.shape)
        if env.continuous_actions:
            actions = jax.random.uniform(key_action, shape)
        else:
            actions = jax.random.randint(key_action, shape, 0, jnp.array(env.spec.action.sizes))

        def step(state, action):
            state, timestep = env.step(key_step, state, action)
            return state, (state, timestep)

        return first, jax.lax.scan(step, first[0], actions)[1]

    return jax.jit(jax.vmap(run))(jax.random.split(jax.random.key(3), EPISODES))


@pytest.mark.parametrize(("name", "continuous"), CASES)
def test_arrays_make_the_transitions_of_bodies_one_by_one(monkeypatch, name, continuous):
    env = LARGE[name] if name in LARGE else make(name, continuous_actions=continuous)
    monkeypatch.setattr(particle_world, "UNROLLED", 100)
    one_by_one = episodes(env)
    jax.clear_caches()
    monkeypatch.setattr(particle_world, "UNROLLED", 0)
    at_once = episodes(env)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), one_by_one, at_once)


def test_the_program_does_not_grow_with_pairs_of_bodies():
    def size(agents: int) -> int:
        env = SimpleSpread(num_agents=agents)
        state = env.reset(jax.random.key(0))[0]
        step = jax.make_jaxpr(env.step)(jax.random.key(0), state, jnp.zeros(agents, jnp.int32))
        return len(str(step).splitlines())

    assert size(48) < 2.5 * size(24)  # body by body it grows fourfold


def test_the_scripted_team_of_a_large_world_covers_its_landmarks():
    """24 agents are assigned to 24 landmarks, and more are near one than at the start."""
    env = SimpleSpread(num_agents=12)

    @jax.jit
    def run(key):
        state, _ = env.reset(key)

        def step(state, _):
            state, timestep = env.step(key, state, env.scripted(state))
            return state, timestep.metrics["distance"]

        return jax.lax.scan(step, state, None, 25)[1]

    distances = run(jax.random.key(0))
    assert distances[-1] < 0.6 * distances[0]
