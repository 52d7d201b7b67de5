"""Trees as worlds: who sees what, what chance does, and that play is worth what the tree says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import shoal
from shoal.core.errors import UserError
from shoal.envs.game.trees import PENNIES, GambitTree
from shoal.envs.game.world import as_world
from shoal.games import cfr, classic, kuhn, value
from shoal.games.extensive.tree import CHANCE
from shoal.runs.fields import fields_of, from_fields
from shoal.training.evaluation import evaluate_policy

WORLDS = ["kuhn", "leduc", "goofspiel", "liars_dice", "efg"]


def random_policy(form, seed=0):
    weights = np.random.default_rng(seed).exponential(size=form.legal.shape) * form.legal
    return weights / weights.sum(1, keepdims=True)


@pytest.mark.parametrize("name", WORLDS)
def test_play_is_worth_what_the_tree_says(name):
    world = shoal.make(f"game/{name}")
    policy = random_policy(world.form)
    play = jax.jit(lambda p, k: evaluate_policy(p, world, k, 20_000, greedy=False).per_agent)
    returns = np.asarray(play(world.as_policy(policy), jax.random.key(1)), np.float64)
    error = returns.std(0) / np.sqrt(len(returns))
    assert np.abs(returns.mean(0) - value(world.form, policy)).max() < 4.5 * error.max()
    assert set(np.unique(returns)) <= set(np.unique(world.form.payoffs.astype(np.float32)))


@pytest.mark.parametrize("name", WORLDS)
def test_a_policy_of_the_world_is_one_of_the_tree(name):
    world = shoal.make(f"game/{name}")
    policy = random_policy(world.form)
    assert np.allclose(world.behaviour(world.as_policy(policy)), policy, atol=1e-6)


@pytest.mark.parametrize("players", [2, 3])
def test_every_step_shows_the_node_and_nothing_else(players):
    world = shoal.make("game/kuhn", players=players)
    form, step = world.form, jax.jit(world.step)
    ends = 0
    for seed in range(30):
        key = jax.random.key(seed)
        state, shown = world.reset(key)
        for k in range(world.spec.horizon):
            node = int(state.node)
            who = form.actor[node]
            assert who >= 0
            assert np.array_equal(shown.active, np.arange(players) == who)
            own = np.flatnonzero(form.owner == who)
            sight = np.asarray(shown.obs)[who]
            assert own[sight.argmax()] == form.infoset[node] and sight.sum() == 1
            assert not np.asarray(shown.obs)[np.arange(players) != who].any()
            assert np.asarray(shown.action_mask).sum(1).tolist() == [
                2 if i == who else 1 for i in range(players)
            ]
            move = np.random.default_rng(seed + k).integers(2)
            action = np.full(players, 1 - move)  # what the others say changes nothing
            action[who] = move
            before = node
            state, shown = step(key, state, jnp.asarray(action))
            assert form.parent[int(state.node)] == before  # chance moves at the root alone
            assert form.action[int(state.node)] == move
            if shown.done:
                ends += 1
                paid = form.payoffs[form.terminals.tolist().index(int(state.node))]
                assert np.allclose(shown.reward, paid)
                break
            assert not np.asarray(shown.reward).any()
    assert ends == 30


def test_chance_deals_every_hand_alike():
    world = shoal.make("game/kuhn")
    states, _ = jax.vmap(world.reset)(jax.random.split(jax.random.key(0), 6000))
    nodes, counts = np.unique(np.asarray(states.node), return_counts=True)
    assert len(nodes) == 6 and (world.form.actor[nodes] == 0).all()
    assert np.abs(counts - 1000).max() < 5 * np.sqrt(1000 * 5 / 6)


def test_the_horizon_is_the_longest_play():
    assert shoal.make("game/kuhn").spec.horizon == 3
    assert shoal.make("game/leduc").spec.horizon == 8


def test_an_equilibrium_of_the_tree_plays_in_the_world():
    world = shoal.make("game/kuhn")
    policy = world.as_policy(cfr(kuhn(), 500, "cfr+").policy)
    returns = evaluate_policy(policy, world, jax.random.key(0), 40_000, greedy=False).per_agent
    assert np.asarray(returns)[:, 0].mean() == pytest.approx(-1 / 18, abs=0.03)


def test_any_game_is_a_world(tmp_path):
    path = tmp_path / "pennies.efg"
    path.write_text(PENNIES)
    world = GambitTree(str(path))
    path.unlink()  # a run keeps the tree itself
    again = shoal.make("game/efg", **from_fields(fields_of(world)))
    assert again.form.num_nodes == world.form.num_nodes == 7
    assert as_world(kuhn()).form.num_infosets == 12
    assert as_world(classic("chicken"), rounds=3).spec.horizon == 3


def test_a_one_player_tree_with_chance_at_every_step():
    text = (
        'EFG 2 R "walk" { "me" } p "" 1 1 "" { "a" "b" } 0 '
        'c "" 1 "" { "x" 1/4 "y" 3/4 } 0 t "" 1 "" { 1 } t "" 2 "" { 2 } t "" 3 "" { 5 }'
    )
    world = GambitTree(text)
    assert (world.form.actor == CHANCE).sum() == 1
    state, _ = world.reset(jax.random.key(0))
    keys = jax.random.split(jax.random.key(3), 4000)
    paid = jax.vmap(lambda k: world.step(k, state, jnp.array([0]))[1].reward[0])(keys)
    assert float(paid.mean()) == pytest.approx(1.75, abs=0.03)
    assert float(world.step(keys[0], state, jnp.array([1]))[1].reward[0]) == 5


def test_a_policy_that_remembers_is_refused():
    world = shoal.make("game/kuhn")
    algorithm = shoal.make_algorithm("ippo", recurrent=4, hidden=(4,))
    state = algorithm.init(world.spec, jax.random.key(0))
    with pytest.raises(UserError, match="recurrent policy is not a policy of the tree"):
        world.behaviour(algorithm.policy(state))


def test_moves_are_drawn():
    world = shoal.make("game/efg")
    state, _ = world.reset(jax.random.key(0))
    assert [shape.text for shape in world.draw(state).shapes] == ["matching pennies"]
    state, _ = world.step(jax.random.key(0), state, jnp.array([1, 0]))
    state, _ = world.step(jax.random.key(0), state, jnp.array([0, 0]))
    texts = [shape.text for shape in world.draw(state).shapes]
    assert texts == ["player 1: tails", "player 2: heads", "payoffs -1, 1"]
