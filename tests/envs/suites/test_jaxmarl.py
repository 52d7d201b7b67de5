"""JaxMARL's worlds: stepped beside their own code, trained in, and named when they will not do."""

import json
from importlib.util import find_spec

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import shoal
from shoal.cli.main import run as shoal_command
from shoal.core.errors import UserError
from shoal.core.spaces import Discrete
from shoal.envs.suites.jaxmarl import BRAX, JaxMARLWorld
from shoal.runs.fields import fields_of, from_fields
from shoal.training.on_device import OnDevice

pytestmark = pytest.mark.skipif(find_spec("jaxmarl") is None, reason="jaxmarl is not installed")

WORLDS = {
    "HeuristicEnemySMAX": {"scenario": "3m"},
    "overcooked": {"layout": "cramped_room"},
    "overcooked_v2": {"layout": "cramped_room"},
    "hanabi": {},
    "coin_game": {},
    "switch_riddle": {},
    "jaxnav": {},
    "MPE_simple_tag_v3": {},
    "storm": {},
    "storm_2p": {},
    "storm_np": {},
}
CLOCKS = {  # settings that make episodes short, and the step at which the world itself ends them
    "HeuristicEnemySMAX": ({"scenario": "3m", "max_steps": 4}, 5),
    "MPE_simple_spread_v3": ({"max_steps": 4}, 5),
    "overcooked": ({"layout": "cramped_room", "max_steps": 4}, 4),
    "overcooked_v2": ({"layout": "cramped_room", "max_steps": 4}, 4),
    "jaxnav": ({"max_steps": 4}, 4),
    "coin_game": ({"num_inner_steps": 3, "num_outer_steps": 2}, 6),
    "storm": ({"num_inner_steps": 2, "num_outer_steps": 2}, 4),
    "storm_2p": ({"num_inner_steps": 4}, 4),
    "storm_np": ({"num_inner_steps": 4}, 4),
}


def make(task, **settings):
    return shoal.make(f"jaxmarl:{task}", **settings)


def random_action(space, mask, key):
    if isinstance(space, Discrete):
        legal = jnp.asarray(space.mask if mask is None else mask)
        return jax.random.categorical(key, jnp.where(legal, 0.0, -1e9))
    shape = (len(space.sizes), space.size)
    return jax.random.uniform(key, shape, minval=space.lows, maxval=space.highs)


def own_view(task, obs, i, agent):
    """What the world shows an agent, as JaxMARL has it."""
    if task == "storm":
        return {"inventory": obs["inventory"][:, i], "observations": obs["observations"][i]}
    return obs[agent]


@pytest.mark.parametrize("task", WORLDS)
def test_steps_are_those_of_the_world(task):
    env = make(task, **WORLDS[task])
    spec, world = env.spec, env.world
    state, shown = jax.jit(env.reset)(jax.random.key(0))
    obs, inner = world.reset(jax.random.key(0))
    step, own = jax.jit(env.step), jax.jit(world.step_env)
    for t in range(1, 21):
        key = jax.random.key(t)
        action = random_action(spec.action, shown.action_mask, key)
        rows = [env._own(i, action[i]) for i in range(spec.num_agents)]
        chosen = rows if task.startswith("storm") else dict(zip(world.agents, rows))
        state, shown = step(key, state, action)
        obs, inner, rewards, dones, _ = own(key, inner, chosen)
        for i, agent in enumerate(world.agents):
            parts = jax.tree.leaves(own_view(task, obs, i, agent))
            seen = np.concatenate([np.ravel(x) for x in parts])
            assert spec.obs_sizes[i] == len(seen) and not shown.obs[i, len(seen) :].any()
            assert np.allclose(np.sort(shown.obs[i, : len(seen)]), np.sort(seen), atol=1e-5)
            if task != "storm":
                assert np.allclose(shown.obs[i, : len(seen)], seen, atol=1e-5)
            assert shown.reward[i] == pytest.approx(float(rewards[agent]), abs=1e-5)
        assert bool(shown.done) == bool(dones["__all__"])
        if shown.done:
            break
    assert t > 1


@pytest.mark.parametrize("task", CLOCKS)
def test_the_world_s_own_clock_cuts(task):
    settings, last = CLOCKS[task]
    env = make(task, **settings)
    world = env.world
    assert env.spec.horizon == last
    state, shown = env.reset(jax.random.key(0))
    _, inner = world.reset(jax.random.key(0))
    step, own = jax.jit(env.step), jax.jit(world.step_env)
    still = {"HeuristicEnemySMAX": 4, "overcooked": 4, "overcooked_v2": 4}.get(task, 0)
    shape = (env.spec.num_agents, *env.spec.action.shape)
    action = jnp.full(shape, still, jnp.int32 if len(shape) == 1 else jnp.float32)
    for t in range(1, last + 1):
        rows = [env._own(i, action[i]) for i in range(len(action))]
        chosen = rows if task.startswith("storm") else dict(zip(world.agents, rows))
        state, shown = step(jax.random.key(t), state, action)
        _, inner, _, dones, _ = own(jax.random.key(t), inner, chosen)
        assert bool(dones["__all__"]) == (t == last)
        assert shown.truncated.tolist() == [t == last] * len(action)
        assert not shown.terminated.any()


def test_who_has_fallen_is_cut_with_its_team_at_the_time_limit():
    env = make("HeuristicEnemySMAX", scenario="3m", max_steps=2)
    state, _ = env.reset(jax.random.key(0))
    step, still = jax.jit(env.step), jnp.full(3, 4)
    for t in range(env.spec.horizon - 1):
        state, shown = step(jax.random.key(t), state, still)
        assert not shown.done and not shown.terminated.any()
    fallen = type(state.inner)(state.inner.own, jnp.array([True, False, False]))
    state, shown = step(jax.random.key(9), type(state)(fallen, state.time), still)
    assert shown.truncated.all() and not shown.terminated.any()
    assert shown.active.tolist() == [False, True, True]


def test_the_bulb_s_riddle_truly_ends_when_somebody_tells_and_is_cut_when_nobody_does():
    env = make("switch_riddle")
    tell = env.world.game_actions["TELL"]
    for action, last in ((tell, 1), (0, env.spec.horizon)):
        state, _ = env.reset(jax.random.key(0))
        step = jax.jit(env.step)
        for t in range(1, last + 1):
            state, shown = step(jax.random.key(t), state, jnp.full(env.spec.num_agents, action))
            assert bool(shown.done) == (t == last)
        assert bool(shown.terminated.all()) == (action == tell)
        assert bool(shown.truncated.all()) == (action == 0)


def test_fallen_allies_do_nothing_more_and_end_with_their_team():
    env = make("HeuristicEnemySMAX", scenario="3m")
    state, shown = jax.jit(env.reset)(jax.random.key(0))
    step, fallen, some = jax.jit(env.step), np.zeros(3, bool), False
    for t in range(100):
        state, shown = step(jax.random.key(t), state, jnp.full(3, 4))  # all stand still
        alive = np.asarray(state.inner.own.state.unit_alive)[:3]
        assert np.array_equal(shown.active, alive) and (~alive >= fallen).all()
        assert float(shown.metrics["won"]) == 0.0
        fallen = ~alive
        if shown.done:
            break
        some |= fallen.any()
        assert not shown.terminated.any()  # what the team earns is theirs too
    assert some and fallen.all() and shown.terminated.all() and t < 99
    assert not shown.truncated.any()


def test_robots_that_arrive_first_are_paid_with_their_team_unless_each_is_paid_its_own():
    """JaxNav pays half of each reward to all; with `rew_lambda=1` each earns its own alone."""
    for settings, own in (({}, False), ({"rew_lambda": 1.0}, True)):
        env = make("jaxnav", num_agents=2, max_steps=9, **settings)
        state, _ = jax.jit(env.reset)(jax.random.key(0))
        left = type(state.inner)(state.inner.own, jnp.array([True, False]))
        state = type(state)(left, state.time)
        _, shown = env.step(jax.random.key(1), state, jnp.zeros((2, 2)))
        assert shown.active.tolist() == [False, True]
        assert shown.terminated.tolist() == [own, False]


def test_a_battle_is_won_where_only_allies_are_left():
    env = make("HeuristicEnemySMAX", scenario="3m", enemy_shoots=False, max_steps=400)
    state, shown = jax.jit(env.reset)(jax.random.key(1))
    step, rewards, won = jax.jit(env.step), [], []
    for t in range(400):
        shoots = jnp.argmax(shown.action_mask[:, 5:], -1) + 5
        action = jnp.where(shown.action_mask[:, 5:].any(-1), shoots, 1)  # else to the right
        state, shown = step(jax.random.key(t), state, action)
        rewards.append(float(shown.reward[0]))
        won.append(float(shown.metrics["won"]))
        if shown.done:
            break
    assert shown.done and won[-1] == 1.0 and sum(won) == 1.0
    assert rewards[-1] >= 1.0 > max(rewards[:-1])  # JaxMARL's own bonus for a victory


def test_overcooked_s_training_rewards_are_added_where_they_are_wanted():
    plain = make("overcooked", layout="cramped_room")
    shaped = make("overcooked", layout="cramped_room", shaping=2.0)
    world, agents = plain.world, plain.world.agents

    def step(state, key):
        action = jax.random.randint(key, (2,), 0, 6)
        _, _, rewards, _, infos = world.step_env(key, state.inner.own, dict(zip(agents, action)))
        extra = jnp.stack([infos["shaped_reward"][agent] for agent in agents])
        own = jnp.stack([rewards[agent] for agent in agents])
        state, shown = shaped.step(key, state, action)
        wrong = jnp.abs(shown.reward - own - 2.0 * extra) + jnp.abs(shown.metrics["score"] - own)
        return state, (wrong, extra)

    def play(key):
        state, _ = shaped.reset(key)
        return jax.lax.scan(step, state, jax.random.split(key, 300))[1]

    wrong, extra = jax.jit(jax.vmap(play))(jax.random.split(jax.random.key(0), 32))
    assert float(wrong.max()) < 1e-5 < float(extra.sum())
    assert shaped.spec.metrics == (("score", "sum"),) and plain.spec.metrics == ()


def test_teams_are_those_who_share_an_interest():
    assert make("MPE_simple_world_comm_v3").spec.teams == (1, 1, 1, 1, 0, 0)
    assert make("MPE_simple_crypto_v3").spec.teams == (1, 0, 0)
    assert make("SMAX", scenario="3m").spec.teams == (0, 0, 0, 1, 1, 1)
    assert make("coin_game").spec.teams == make("storm").spec.teams == (0, 1)
    assert make("coin_game", shared_rewards=True).spec.teams == (0, 0)


@pytest.mark.parametrize("task", BRAX[1:2])
def test_robots_of_several_agents_are_cut_and_end(task):
    pytest.importorskip("brax")
    env = make(task, episode_length=3)
    state, shown = env.reset(jax.random.key(0))
    step = jax.jit(env.step)
    zero = jnp.zeros((env.spec.num_agents, env.spec.action.size))
    for t in range(1, 4):
        before = state
        state, shown = step(jax.random.key(t), state, zero)
        assert bool(shown.truncated.all()) == (t == 3) and not shown.terminated.any()
    # What follows the last step is its true successor, and not a fresh start.
    assert not np.allclose(shown.obs, env.reset(jax.random.key(0))[1].obs)
    assert float(state.inner.own.info["steps"]) == float(before.inner.own.info["steps"]) + 1 == 3


@pytest.mark.parametrize(
    ("task", "algorithm"),
    [
        ("HeuristicEnemySMAX", "mappo"),
        ("HeuristicEnemySMAX", "vdn"),
        ("overcooked", "mappo"),
        ("overcooked", "vdn"),
        ("storm", "iql"),
        ("storm_2p", "ippo"),
        ("storm_np", "ippo"),
    ],
)
def test_algorithms_train_inside_the_scan(task, algorithm):
    env = make(task, **WORLDS[task], horizon=5)
    on_policy = {"minibatches": 2, "epochs": 1}
    off_policy = {"batch_size": 8, "learning_starts": 8, "update_ratio": 0.1}
    settings = on_policy if algorithm.endswith("ppo") else off_policy
    learner = OnDevice(shoal.make_algorithm(algorithm, hidden=(8,), **settings), env, 4, 8)
    state = jax.jit(learner.init)(jax.random.key(0))
    state, metrics = jax.jit(learner.update)(state)
    assert all(np.isfinite(v).all() for v in metrics.values())
    assert metrics["episodes"] == 4 and any(
        v > 0 for k, v in metrics.items() if k.endswith("grad_norm")
    )


def test_a_run_keeps_the_world():
    env = make("HeuristicEnemySMAX", scenario="3m", horizon=20)
    again = JaxMARLWorld(**from_fields(json.loads(json.dumps(fields_of(env)))))
    assert again.spec == env.spec and again.spec.horizon == 20 and again.world is env.world
    assert env.spec.name == "jaxmarl:HeuristicEnemySMAX"


@pytest.mark.parametrize(
    ("task", "settings", "said"),
    [
        ("SMACS", {}, "did you mean 'SMAX'"),
        ("overcooked", {"layout": "cramped_rom"}, "did you mean 'cramped_room'"),
        ("overcooked_v2", {"layout": "cramped_rom"}, "did you mean 'cramped_room'"),
        ("HeuristicEnemySMAX", {"scenario": "3x"}, "unknown scenario of SMAX '3x'"),
        ("HeuristicEnemySMAX", {"scenaro": "3m"}, "did you mean 'scenario'"),
        ("switch_riddle", {"num_agents": object()}, "must be plain data"),
        ("overcooked", {"horizon": 401}, "ends its episodes after 400 steps"),
        ("overcooked", {"shaping": -1.0}, "shaping is -1.0, expected 0 or more"),
        ("overcooked", {"settings": "{"}, "expected JSON"),
    ],
)
def test_mistakes_are_named(task, settings, said):
    with pytest.raises(UserError, match=said):
        make(task, **settings)


def test_the_command_line_says_it_in_a_line(capsys):
    assert shoal_command(["train", "mappo", "jaxmarl:SMACS"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and "did you mean 'SMAX'" in err
