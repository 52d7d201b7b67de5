"""Joint-action learners: values, counts and EV by hand, tables that fill up, small trainings."""

import json
import shutil
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shoal.agents.cooperative.jal import JAL, JALState, jal, likely
from shoal.agents.tables import Boltzmann, Distinct
from shoal.core.algorithm import Trajectory, Transition
from shoal.core.env import EnvSpec, TimeStep
from shoal.core.errors import UserError
from shoal.core.spaces import Box, Discrete, Factored
from shoal.envs.cooperative.climbing import Climbing
from shoal.envs.cooperative.matrix import MatrixGame
from shoal.envs.cooperative.two_step import TwoStepGame
from shoal.export.onnx_export import to_onnx
from shoal.export.policy_function import policy_function
from shoal.training import run as runs, train as training
from shoal.training.on_device import OnDevice
from shoal.training.trainer import WALL_CLOCK

KEY = jax.random.key(0)


def spec(*sizes: int) -> EnvSpec:
    return EnvSpec("tiny", ("a", "b", "c")[: len(sizes)], (1,) * len(sizes), Discrete(sizes), 9)


def start(algorithm: JAL, environment: EnvSpec, *met: float) -> JALState:
    """A state whose agents have met these numbers, and value nothing."""
    state = algorithm.init(environment, KEY)
    seen = jnp.broadcast_to(
        jnp.array(met, jnp.float32)[:, None, None], (len(met), len(environment.agents), 1)
    )
    known = state.met.add(seen, jnp.ones(seen.shape[:2], bool))
    q = jnp.zeros_like(state.params["q"])
    return eqx.tree_at(lambda s: (s.params["q"], s.met), state, (q, known))


def rollout(obs, action, reward, after, terminated=False, active=True) -> Trajectory:
    """One step of B environments, rows of what each agent sees, does and is paid."""
    now = TimeStep.of(jnp.asarray(obs, jnp.float32)[None, ..., None], active=jnp.asarray(active))
    then = TimeStep.of(
        jnp.asarray(after, jnp.float32)[None, ..., None],
        reward=jnp.asarray(reward, jnp.float32)[None],
        terminated=jnp.broadcast_to(jnp.asarray(terminated), now.reward.shape),
    )
    transition = Transition(now, jnp.asarray(action)[None], None, then)
    last = jax.tree.map(lambda x: x[0], then)
    return Trajectory(transition, None, last, None, jnp.float32(0.25))


@eqx.filter_jit
def learn(algorithm: JAL, state: JALState, played: Trajectory):
    return algorithm.learn(state, played, KEY)


@pytest.fixture
def two() -> tuple[JAL, JALState]:
    """Agents of two and of three actions, who know 5 and, of 6, what each pair of actions is
    worth. What does not exist is worth 1000."""
    algorithm = jal(learning_rate=0.25, discount=0.5, count_decay=0.5, states=3)
    state = start(algorithm, spec(2, 3), 5, 6)
    q, counts = state.params["q"], state.counts
    q = q.at[0, 1].set(jnp.array([[1.0, 2, 3], [0, 0, 12], [1000] * 3]))
    q = q.at[1, 1].set(jnp.array([[4.0, 8, 1000], [0, 0, 1000], [0, 4, 1000]]))
    counts = counts.at[0, 1, 0].set(jnp.array([1.0, 1, 2])).at[1, 1, 0].set(jnp.array([3.0, 1, 0]))
    return algorithm, eqx.tree_at(lambda s: (s.params["q"], s.counts), state, (q, counts))


def test_what_is_expected_is_the_value_under_what_the_others_were_seen_to_do(two):
    algorithm, state = two
    expected = algorithm.expected(state)
    np.testing.assert_allclose(expected[0, 1, :2], [1 / 4 + 2 / 4 + 3 / 2, 12 / 2])
    np.testing.assert_allclose(expected[1, 1], [4 * 0.75 + 8 / 4, 0, 4 / 4])


def test_values_go_to_the_mean_target_of_their_cell_and_counts_fade(two):
    """Both environments are in one cell; the second one ends."""
    algorithm, state = two
    played = rollout(
        [[5, 5]] * 2, [[1, 2]] * 2, [[4, 40], [8, 80]], [[6, 6]] * 2, [[False], [True]]
    )
    after, metrics = learn(algorithm, state, played)
    first, second = ((4 + 0.5 * 6) + 8) / 2, ((40 + 0.5 * 5) + 80) / 2
    expected = state.params["q"].at[0, 0, 1, 2].set(first / 4).at[1, 0, 2, 1].set(second / 4)
    np.testing.assert_allclose(after.params["q"], expected, rtol=1e-6)
    counts = state.counts.at[0, 0, 0].set(jnp.array([0.5, 0.5, 2.5]))
    counts = counts.at[1, 0, 0].set(jnp.array([0.5, 2.5, 0.0]))
    np.testing.assert_allclose(after.counts, counts)
    np.testing.assert_allclose(metrics["error"], (7 + 8 + 42.5 + 80) / 4)
    assert metrics["unknown_states"] == 0 and metrics["states"] == 2


def test_of_three_each_has_the_other_two_in_order():
    algorithm = jal(learning_rate=1.0, states=1)
    state = start(algorithm, spec(2, 2, 2), 5)
    counts = state.counts.at[1, 0].set(jnp.array([[1.0, 3], [1, 1]]))  # of agents 0 and 2
    pairs = likely(eqx.tree_at(lambda s: s.counts, state, counts))[1, 0]
    np.testing.assert_allclose(pairs, [1 / 8, 1 / 8, 3 / 8, 3 / 8])
    played = rollout([[5] * 3], [[1, 0, 1]], [[1, 2, 3]], [[5] * 3], True)
    q = learn(algorithm, state, played)[0].params["q"]
    cells = {tuple(map(int, c)): float(q[tuple(c)]) for c in np.argwhere(np.asarray(q))}
    assert cells == {(0, 0, 1, 1): 1.0, (1, 0, 0, 3): 2.0, (2, 0, 1, 2): 3.0}


def test_who_is_not_due_learns_nothing_and_counts_as_doing_its_first_action(two):
    algorithm, state = two
    active = jnp.array([[[True, False]]])
    played = rollout([[5, 0]], [[1, 2]], [[4, 40]], [[6, 6]], True, active)
    after, _ = learn(algorithm, state, played)
    np.testing.assert_allclose(after.params["q"], state.params["q"].at[0, 0, 1, 0].set(1.0))
    np.testing.assert_allclose(after.counts[0, 0, 0], [1.5, 0.5, 0.5])
    np.testing.assert_array_equal(after.counts[1], state.counts[1])


def test_exploration_goes_by_what_its_name_says():
    """In the climbing game, where the other was seen to do 0, 0, 1 and 2 as often as 1, 1, 2."""
    state = start(jal(), Climbing().spec, 1)
    counts = state.counts.at[0, 0, 0].set(jnp.array([1.0, 1, 2]))
    q = state.params["q"].at[0, 0].set(Climbing().payoffs)
    state = eqx.tree_at(lambda s: (s.params["q"], s.counts), state, (q, counts))
    expected, most = np.array([(11 - 30) / 4, (7 - 30) / 4, 6 / 4 + 5 / 2]), np.array([11, 7, 6])
    for kind, appeal in {
        "boltzmann": expected,
        "optimistic": most,
        "weighted": most / 4,
        "combined": 0.25 * most + 0.75 * expected,
    }.items():
        algorithm = jal(exploration=kind, rho=0.25)
        np.testing.assert_allclose(algorithm.appeal(state)[0, 0], appeal, rtol=1e-6)
        assert algorithm.policy(state).values[0, 0].argmax() == 2  # evaluated by EV


def test_nobody_hopes_for_an_answer_that_does_not_exist(two):
    _, state = two
    np.testing.assert_allclose(jal(exploration="optimistic").appeal(state)[1, 1], [8, 0, 4])
    np.testing.assert_allclose(jal(exploration="weighted").appeal(state)[1, 1], [2, 0, 1])


def test_the_temperature_falls_by_the_same_factor_until_exploration_ends():
    algorithm = jal(temperature_start=16.0, temperature_end=1.0, exploration_fraction=0.5)
    found = [float(algorithm.temperature(jnp.float32(x))) for x in (0, 0.125, 0.25, 0.5, 1)]
    np.testing.assert_allclose(found, [16, 8, 4, 1, 1], rtol=1e-6)
    state = eqx.tree_at(lambda s: s.progress, start(algorithm, spec(2, 2), 5), jnp.float32(0.25))
    assert algorithm.acting(state).temperature == 4 and algorithm.policy(state).temperature == 1


# Tables.


def test_a_table_takes_in_what_is_new_in_order_and_no_more_than_it_has_room_for():
    table = Distinct.empty(2, 3, 2)
    first = jnp.array([[7.0, 0], [7, 0], [8, 0], [9, 0]])
    second = jnp.array([[1.0, 1], [jnp.nan, 1], [1, 1], [1, 2]])
    seen = jnp.array([[True, True], [True, True], [False, True], [True, True]])
    table = table.add(jnp.stack([first, second], 1), seen)
    np.testing.assert_array_equal(table.count, [2, 2])
    np.testing.assert_array_equal(table.rows[:, :2], [[[7, 0], [9, 0]], [[1, 1], [1, 2]]])
    np.testing.assert_array_equal(table.find(jnp.zeros((2, 2))), False)  # not even an empty row
    more = table.add(jnp.stack([first + 10, second], 1), seen)
    np.testing.assert_array_equal(more.count, [3, 2])
    np.testing.assert_array_equal(more.rows[0, :, 0], [7, 9, 17])  # 19 found no room
    values = jnp.arange(6.0).reshape(2, 3, 1) + 1
    read = more.read(values, jnp.array([[[9.0, 0], [1, 1]], [[19, 0], [7, 0]]]))
    np.testing.assert_array_equal(read[..., 0], [[2, 4], [0, 0]])


def test_what_finds_no_room_is_told_not_learned_from_and_acted_on_at_random(two):
    algorithm = jal(states=1)
    state = start(algorithm, spec(2, 2), 5)
    played = rollout([[5, 5], [6, 5]], [[1, 1]] * 2, [[4, 4]] * 2, [[5, 5]] * 2, True)
    after, metrics = learn(algorithm, state, played)
    assert metrics["unknown_states"] == 0.25 and metrics["states"] == 1
    np.testing.assert_allclose(after.counts[:, 0, 0], [[1, 2], [1, 3]])
    acting = algorithm.acting(after)
    probs = acting(TimeStep.of(jnp.array([[5.0], [6.0]])), None)[0].probs
    assert probs[0, 1] > 0.5 and (probs[1] == 0.5).all()


def test_two_states_are_kept_apart():
    algorithm = jal(learning_rate=1.0, states=4)
    state = algorithm.init(spec(2, 2), KEY)
    seen, reward = [[5, 8], [6, 8]], [[3, 3], [4, 4]]
    played = rollout(seen, [[0, 0], [1, 0]], reward, seen, True)
    after, _ = learn(algorithm, state, played)
    np.testing.assert_array_equal(after.met.count, [2, 1])
    np.testing.assert_allclose(after.params["q"][0, :2, [0, 1], 0], [[3, 0], [0, 4]], atol=0.01)
    np.testing.assert_allclose(after.params["q"][1, 0, 0], [3, 4])
    policy = algorithm.policy(after)
    now = TimeStep.of(jnp.array(seen, jnp.float32)[..., None])
    np.testing.assert_array_equal(policy(now, None)[0].mode()[:, 0], [0, 1])


def test_what_an_agent_does_depends_on_what_it_sees_alone(two):
    algorithm, state = two
    policy = algorithm.policy(state)
    log_probs = [
        policy(TimeStep.of(jnp.array([[a], [b]])), None)[0].log_probs
        for a, b in ((5.0, 5.0), (5.0, 6.0), (6.0, 6.0))
    ]
    np.testing.assert_array_equal(log_probs[0][0], log_probs[1][0])
    np.testing.assert_array_equal(log_probs[1][1], log_probs[2][1])
    assert not np.allclose(log_probs[1][0], log_probs[2][0]) and not policy.centralised


# What is refused.


@pytest.mark.parametrize("space", [Box(-1.0, 1.0, (2, 2)), Factored(((2, 2), (2, 2)))])
def test_it_chooses_among_discrete_actions(space):
    with pytest.raises(UserError, match="discrete actions and tiny has others"):
        jal().check(EnvSpec("tiny", ("a", "b"), (1, 1), space, 9))


def test_tables_have_a_largest_size():
    agents = tuple("abcdefghi")
    many = EnvSpec("tiny", agents, (1,) * 9, Discrete((5,) * 9), 9)
    with pytest.raises(UserError) as error:
        jal().check(many)
    assert str(error.value) == (
        "jal has a table of 128 states x 5^9 joint actions for each of 9 agents in tiny, expected "
        "at most 4,194,304 values in all: use vdn or ippo, or fewer states"
    )
    jal().check(spec(5, 5, 5))


# Trainings.


def returns(algorithm: JAL, env, steps: int, seeds=(1000, 1001, 1002)) -> list[float]:
    """What the best actions earn after a training of 32 environments."""
    updates = steps // 800
    learner = OnDevice(algorithm, env, 32, 25, total_updates=float(updates))

    def one(seed):
        state = learner.init(jax.random.key(seed))
        state, _ = jax.lax.scan(lambda s, _: learner.update(s), state, None, updates)
        policy = learner.policy(state)

        def step(loop, _):
            world, now = loop
            world, now = env.step(KEY, world, policy(now, None)[0].mode())
            return (world, now), now.reward.mean()

        return jax.lax.scan(step, env.reset(KEY), None, env.spec.horizon)[1].sum()

    return jax.jit(lambda x: jax.lax.map(one, x))(jnp.array(seeds)).tolist()


@pytest.mark.parametrize(
    ("env", "kind", "best"),
    [
        (MatrixGame(jnp.eye(3)), "boltzmann", 1.0),
        (TwoStepGame(), "boltzmann", 8.0),
        (Climbing(rounds=5), "combined", 55.0),
    ],
)
def test_it_reaches_the_optimum(env, kind, best):
    """All of three seeds, in 50,000 steps; climbing takes optimistic exploration."""
    algorithm = jal(exploration=kind, count_decay=0.5, states=8)
    np.testing.assert_allclose(returns(algorithm, env, 50_000), best, rtol=1e-5)


def test_by_its_model_alone_it_stops_short_of_the_climbing_games_best():
    """As Claus and Boutilier say of it; 55 is the optimum, 7 in each round is 35."""
    found = returns(jal(count_decay=0.5, states=8), Climbing(rounds=5), 50_000)
    assert max(found) < 55 and min(found) >= 25


def rows(path: Path) -> list[dict]:
    """The metrics without their wall-clock fields."""
    lines = (path / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(x).items() if k not in WALL_CLOCK} for x in lines]


def test_a_run_is_swept_resumed_and_loaded(tmp_path):
    """A run that lost its last checkpoint ends again where it had ended, to the last digit."""
    run = training.start(
        "jal",
        jal(),
        TwoStepGame(),
        tmp_path,
        quiet=True,
        sweep={"learning_rate": [0.1, 0.5]},
        checkpoint_seconds=0.0,
        **dict(num_envs=8, unroll=10, evaluations=2, eval_episodes=4, total_steps=4_000),
    )
    whole = rows(tmp_path)
    kept = sorted((tmp_path / "checkpoints").glob("step_*"), key=lambda p: int(p.name[5:]))
    assert int(kept[-2].name[5:]) > 0
    shutil.rmtree(kept[-1])
    again = training.resume(tmp_path)
    assert rows(tmp_path) == whole and whole[-1]["unknown_states"] == 0
    for policies in (again.policies, runs.load(tmp_path).policies):
        jax.tree.map(np.testing.assert_array_equal, policies, run.policies)
    slow, fast = run.policies
    assert isinstance(slow, Boltzmann) and not np.allclose(slow.values, fast.values)


def test_its_policy_is_exported():
    """ONNX says what the live policy says, also of what was never met."""
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    env = MatrixGame(jnp.eye(3), rounds=2)
    learner = OnDevice(jal(), env, 8, 4)
    policy = learner.policy(jax.jit(lambda s: learner.update(s))(learner.init(KEY))[0])
    seen = jnp.array([[[1.0]] * 2, [[0.5]] * 2, [[0.25]] * 2])  # both rounds, and the unknown
    live, _ = policy(TimeStep.of(seen), None)
    session = onnxruntime.InferenceSession(to_onnx(policy_function(policy, env), None))
    names = [x.name for x in session.get_outputs()]
    out = dict(zip(names, session.run(None, {"obs": np.asarray(seen)})))
    np.testing.assert_array_equal(out["action"], live.mode())
    np.testing.assert_allclose(out["probs"], live.probs, atol=1e-5)
    np.testing.assert_allclose(live.probs[2], 1 / 3, atol=1e-6)
    assert np.ptp(live.probs[0], -1).min() > 0.1  # of what was met there is something to say
