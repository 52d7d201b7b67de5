"""The engine: recording, batches, precision, certificates, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shoal.core.errors import UserError
from shoal.games.dynamics.flows import Flow, Replicator
from shoal.games.dynamics.learning import FictitiousPlay, Hedge, RegretMatching
from shoal.games.dynamics.simulate import simulate
from shoal.games.dynamics.trajectory import run_dynamics
from shoal.games.normal_form import NormalForm, regret

PENNIES = NormalForm.zero_sum([[1, -1], [-1, 1]])
STARTS = ([[0.9, 0.1], [0.2, 0.8]], [[0.5, 0.5], [1.0, 0.0]])


def test_records_the_start_and_each_so_many_steps() -> None:
    every = run_dynamics(PENNIES, Hedge(0.1), 6, start=([0.9, 0.1], [0.5, 0.5]))
    third = run_dynamics(PENNIES, Hedge(0.1), 6, start=([0.9, 0.1], [0.5, 0.5]), every=3)
    assert every.times.tolist() == [0, 1, 2, 3, 4, 5, 6] and third.times.tolist() == [0, 3, 6]
    assert every.profiles[0].shape == (7, 2) and every.profiles[0][0].tolist() == [0.9, 0.1]
    np.testing.assert_allclose(third.profiles[1], every.profiles[1][::3], rtol=0, atol=1e-15)
    # The average after t steps is of the t profiles before, the last one not yet played.
    np.testing.assert_allclose(
        every.average[1][4], every.profiles[1][:4].mean(0), rtol=0, atol=1e-15
    )


def test_a_linear_average_weighs_play_by_its_number() -> None:
    played = run_dynamics(PENNIES, Hedge(0.3), 5, start=([0.9, 0.1], [0.5, 0.5]), averaging=1.0)
    want = np.average(played.profiles[0][:5], axis=0, weights=[1, 2, 3, 4, 5])
    np.testing.assert_allclose(played.last_average[0], want, rtol=0, atol=1e-15)


def test_a_batch_is_its_runs_one_by_one() -> None:
    together = run_dynamics(PENNIES, RegretMatching(), 20, start=STARTS)
    assert together.profiles[0].shape == (2, 21, 2) and together.external_regret.shape == (2, 21, 2)
    for k in range(2):
        alone = run_dynamics(PENNIES, RegretMatching(), 20, start=[s[k] for s in STARTS])
        np.testing.assert_allclose(together.profiles[1][k], alone.profiles[1], rtol=0, atol=1e-14)
        np.testing.assert_allclose(together.regret[k], alone.regret, rtol=0, atol=1e-14)


def test_the_certificate_is_the_regret_of_the_profiles_reached() -> None:
    played = run_dynamics(PENNIES, RegretMatching(), 20, start=STARTS)
    found = played.equilibrium()
    assert len(found) == 2 and not found.complete and found.method == "RegretMatching"
    np.testing.assert_allclose(found.regrets, played.average_regret[:, -1], rtol=0, atol=1e-12)
    last = played.equilibrium(of="last")
    np.testing.assert_allclose(last.regrets, played.regret[:, -1], rtol=0, atol=1e-12)
    assert found.regrets[0] == regret(PENNIES, found[0])
    assert found.parameters["steps"] == 20 and found.parameters["plus"] is False


def test_external_regret_is_that_of_the_play() -> None:
    played = run_dynamics(PENNIES, Hedge(0.5), 8, start=([0.9, 0.1], [0.2, 0.8]))
    row, column = (p[:8] for p in played.profiles)
    values = column @ np.array([[1, -1], [-1, 1]]).T
    want = values.mean(0).max() - (values * row).sum(1).mean()
    np.testing.assert_allclose(played.external_regret[-1, 0], want, rtol=0, atol=1e-14)


def test_with_a_key_players_meet_drawn_actions() -> None:
    keys = jax.random.split(jax.random.key(0), 3)
    played = run_dynamics(PENNIES, FictitiousPlay(0.5), 2000, key=keys, every=1000)
    counts = played.last_average[0] * 2000
    # Of actions, not of strategies.
    np.testing.assert_allclose(counts, counts.round(), rtol=0, atol=1e-8)
    assert len(set(counts[:, 0].round().tolist())) > 1
    # Symmetric about 1/2, the only logit equilibrium.
    assert np.abs(played.last_average[0] - 0.5).max() < 0.05
    again = run_dynamics(PENNIES, FictitiousPlay(0.5), 2000, key=keys, every=1000)
    assert (again.last_average[0] == played.last_average[0]).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_kernel_runs_inside_compiled_code(dtype: str) -> None:
    host = run_dynamics(PENNIES, Hedge(0.1), 50, start=([0.9, 0.1], [0.5, 0.5]))
    with jax.enable_x64(dtype == "float64"):
        payoffs = jnp.stack([jnp.asarray(PENNIES.payoffs, dtype)] * 2)
        start = (jnp.array([0.9, 0.1], dtype), jnp.array([0.5, 0.5], dtype))
        run = jax.jit(jax.vmap(lambda p: simulate(p, Hedge(0.1), start, 50)))
        path = run(payoffs)
        assert path.profiles[0].dtype == dtype and path.regret.shape == (2, 51)
        slack = 1e-5 if dtype == "float32" else 1e-13
        np.testing.assert_allclose(path.profiles[0][1], host.profiles[0], rtol=0, atol=slack)


@pytest.mark.parametrize(
    ("kwargs", "said"),
    [
        ({"steps": 0}, "steps is 0, expected at least 1"),
        ({"every": 3}, "every is 3, expected a divisor of 10"),
        ({"start": ([1, 0],)}, "start has 1 strategies, expected 2"),
        ({"start": ([1, 0], [1, 0, 0])}, r"player 2 has shape \[3\], expected \[2\]"),
        ({"start": ([1, 0], [0.7, 0.7])}, "player 2 is not a distribution"),
        ({"start": ([1, 0], ["a", 1])}, "shares of player 2 are ragged or not numbers"),
        ({"start": ([[1, 0], [1]], [1, 0])}, "shares of player 1 are ragged"),
        ({"key": 0}, r"key is 0, expected one such as jax.random.key\(0\)"),
        ({"rule": RegretMatching(alternating=True), "key": jax.random.key(0)}, "drawn actions"),
        ({"start": ([1.5, -0.5], [1, 0])}, "player 1 is not a distribution"),
        ({"start": ([[1, 0]] * 2, [[1, 0]] * 3)}, r"batches of sizes \[2, 3\]"),
        ({"symmetric": True}, "not symmetric"),
        ({"symmetric": True, "key": jax.random.key(0)}, "no key"),
        ({"rule": Flow(Replicator()), "key": jax.random.key(0)}, "Flow with these options"),
        ({"start": STARTS, "key": jax.random.split(jax.random.key(0), 3)}, "keys have shape"),
    ],
)
def test_bad_input_is_named(kwargs, said: str) -> None:
    kwargs = {"steps": 10} | kwargs
    rule = kwargs.pop("rule", Hedge(0.1))
    with pytest.raises(UserError, match=said):
        run_dynamics(PENNIES, rule, kwargs.pop("steps"), **kwargs)
