"""Shoal and a peer in turns, for `policy_gradients.py` and `cooperative.py`: rows of a peers.csv.

`sb3` is SAC in HalfCheetah-v5 with Stable-Baselines3's default hyper-parameters: one environment, a
gradient step after each step. `rejax` is PPO in Gymnax's CartPole-v1, 64 seeds as one program, with
the hyper-parameters of rejax's configs/gymnax/cartpole.yaml for more steps than its 100,000.
`xuance` is QMIX with discrete and MADDPG with continuous actions in spread (three agents, 25 steps,
`local_ratio` 0.5), each library with its own settings: Shoal's presets, and XuanCe's
configs/*/mpe/simple_spread_v3.yaml for fewer steps, over which it lowers MADDPG's noise.
`jaxmarl` is QMIX in SMAX's 2s3z: Shoal's without settings, and baselines/QLearning/qmix_rnn.py with
its config/alg/ql_rnn_smax.yaml (a GRU of 512), evaluated once before its training and once after.
Its targets take each step's end from the step before; `mended` is the same with that put right.

Each training has a process of its own, and all of them one core, PyTorch one thread. Returns are
those of the final parameters, of their likeliest actions, over 100 episodes of each seed; in spread
both libraries average them over agents. Seconds of training leave out imports, starting, compiling
and evaluation; both libraries' hold their reports, Shoal's its checkpoints too. `start` is what is
between imports and training: it makes and compiles, with nothing cached. A neighbour on the machine
stretches wall-clock seconds; `cpu` is the process's time.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

Row = dict[str, Any]
COLUMNS = (
    *("comparison", "library", "algorithm", "environment", "steps", "first_seed", "seeds"),
    *("episodes", "returns", "train_cpu", "start_cpu", "train_wall", "start_wall"),
    *("device", "versions"),
)
EPISODES = 100
SAC_STEPS, PPO_STEPS, PPO_SEEDS = 50_000, 500_000, 64
SPREAD_STEPS = 300_800  # whole rollouts of all four
SMAX_STEPS = 999_424  # whole rollouts of both; many hours of a CPU core for the peer
PPO_ENVS, PPO_UNROLL, PPO_EPOCHS, PPO_MINIBATCHES, PPO_RATE = 5, 100, 5, 5, 7.5e-4
PACKAGES = (
    *("shoal", "jax", "jaxlib", "equinox", "optax", "numpy", "gymnasium", "mujoco", "gymnax"),
    *("stable-baselines3", "torch", "rejax", "flax", "xuance", "pettingzoo", "jaxmarl", "flashbax"),
)


def compare(comparison: str, table: Path, peer_python: str | None, *more: str) -> None:
    """Adds the rows that the table lacks; `more` is what the comparison's trainings ask for."""
    import rows

    from shoal.training.machine import hardware

    if peer_python is None:
        raise SystemExit(f"{comparison} needs --peer-python, an interpreter that has the peer")
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # children inherit it
    keys = ("comparison", "algorithm", "library", "first_seed")
    for seed in (0,) if comparison == "rejax" else (0, 1):
        for algorithm, library in TRAININGS[comparison]:
            key = comparison, algorithm, library, str(seed)
            if key in {tuple(row[k] for k in keys) for row in rows.read(table)}:
                continue
            row = dict(zip(keys, key))
            row |= _apart(sys.executable if library == "shoal" else peer_python, *key, *more)
            machine = hardware()
            row["device"] = f"{machine['device']} x {machine['devices']}"
            rows.append(table, COLUMNS, row)
            print(*(row[c] for c in COLUMNS[:-2]), flush=True)


def _apart(python: str, *training: str) -> Row:
    """One training in a process of its own, which finds no compiled program."""
    command = [python, __file__, *training]
    with tempfile.TemporaryDirectory() as cache:
        environment = {"XDG_CACHE_HOME": cache, "JAX_PLATFORMS": "cpu", "TQDM_DISABLE": "1"}
        environment = os.environ | environment
        said = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment)
    if said.returncode:
        raise SystemExit(f"{' '.join(training)} has failed: its complaint is above")
    return json.loads(said.stdout.splitlines()[-1])


# A training, in its own process -----------------------------------------------------------------


def sac_here(seed: int) -> Row:
    """SAC in HalfCheetah with Shoal."""
    import shoal

    settings = {
        **{"preset": "none", "num_envs": 1, "unroll": 1, "update_ratio": 1.0},
        **{"learning_rate": 3e-4, "discount": 0.99, "target_rate": 0.005, "batch_size": 256},
        **{"capacity": 1_000_000, "learning_starts": 100, "hidden": (256, 256)},
    }
    world = shoal.make("gymnasium:HalfCheetah-v5", in_process=True)
    return _here("sac", world, SAC_STEPS, seed, 1, settings)


def sac_there(seed: int) -> Row:
    """SAC in HalfCheetah with Stable-Baselines3, all of its defaults."""
    import torch
    from stable_baselines3 import SAC
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.evaluation import evaluate_policy

    torch.set_num_threads(1)
    clock = Clock()
    worlds = make_vec_env("HalfCheetah-v5", 1, seed=seed)
    model = SAC("MlpPolicy", worlds, seed=seed, device="cpu")
    clock.mark(0)
    model.learn(SAC_STEPS)
    clock.mark(SAC_STEPS)
    worlds = make_vec_env("HalfCheetah-v5", 1, seed=1000 + seed)
    mean, _ = evaluate_policy(model, worlds, n_eval_episodes=EPISODES)
    return _row("HalfCheetah-v5", model.num_timesteps, [float(mean)], clock)


def ppo_here(seed: int) -> Row:
    """PPO in CartPole with Shoal."""
    settings = {
        "preset": "none",
        **{"num_envs": PPO_ENVS, "unroll": PPO_UNROLL, "epochs": PPO_EPOCHS},
        **{"minibatches": PPO_MINIBATCHES, "minibatch_of": "steps"},
        **{"learning_rate": PPO_RATE, "anneal_learning_rate": False, "max_grad_norm": 0.5},
        **{"discount": 0.99, "gae_lambda": 0.95, "clip": 0.2, "entropy_weight": 0.01},
        # The peer's losses: values as they are. It clips each number of a gradient, not the norm,
        # and takes a time limit for an end.
        **{"value_weight": 0.5, "normalise_values": False},
    }
    return _here("ippo", "gymnax:CartPole-v1", PPO_STEPS, seed, PPO_SEEDS, settings)


def ppo_there(seed: int) -> Row:
    """PPO in CartPole with rejax, without the evaluations that it makes while it trains."""
    import jax
    import jax.numpy as jnp
    from rejax import PPO
    from rejax.evaluate import evaluate

    clock = Clock()
    algorithm = PPO.create(
        env="CartPole-v1",
        agent_kwargs={"activation": "tanh"},
        num_envs=PPO_ENVS,
        num_steps=PPO_UNROLL,
        num_epochs=PPO_EPOCHS,
        num_minibatches=PPO_MINIBATCHES,
        learning_rate=PPO_RATE,
        max_grad_norm=0.5,
        total_timesteps=PPO_STEPS,
        eval_freq=PPO_STEPS,
        skip_initial_evaluation=True,
        gamma=0.99,
        gae_lambda=0.95,
        clip_eps=0.2,
        ent_coef=0.01,
        vf_coef=0.5,
    )
    algorithm = algorithm.replace(eval_callback=lambda *_: ())
    keys = jnp.stack([jax.random.PRNGKey(s) for s in range(seed, seed + PPO_SEEDS)])
    train = jax.jit(jax.vmap(algorithm.train)).lower(keys).compile()
    clock.mark(0)
    states, _ = jax.block_until_ready(train(keys))
    clock.mark(PPO_STEPS)

    def score(state: Any, key: Any) -> Any:
        def likeliest(obs: Any, _: Any) -> Any:
            logits = algorithm.actor.apply(
                state.actor_ts.params, obs[None], method=lambda m, x: m.action_logits(m.features(x))
            )
            return jnp.argmax(logits[0])

        world, parameters = algorithm.env, algorithm.env_params
        return evaluate(likeliest, key, world, parameters, EPISODES)[1].mean()

    returns = jax.jit(jax.vmap(score))(
        states, jax.random.split(jax.random.PRNGKey(1000), PPO_SEEDS)
    )
    return _row("CartPole-v1", PPO_STEPS, returns.tolist(), clock)


def spread_here(algorithm: str, seed: int) -> Row:
    """Spread with Shoal, its preset."""
    import shoal

    world = shoal.make("mpe/simple_spread", continuous_actions=algorithm == "maddpg")
    return _here(algorithm, world, SPREAD_STEPS, seed, 1, {})


def spread_there(algorithm: str, seed: int) -> Row:
    """Spread with XuanCe, its own configuration of 16 environments."""
    import torch
    from xuance import get_runner
    from xuance.environment import make_envs

    torch.set_num_threads(1)
    settings = {"running_steps": SPREAD_STEPS, "seed": seed, "env_seed": 100 * seed}
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):  # it writes where it is
        clock = Clock()
        asked = Namespace(**settings, render=False)
        runner = get_runner(algorithm, "mpe", "simple_spread_v3", parser_args=asked)
        agent = runner.agent
        clock.mark(0)
        agent.train(SPREAD_STEPS // runner.n_envs)
        clock.mark(agent.current_step)
        agent.config.env_seed, agent.config.parallels = 1000 + 100 * seed, 10
        scores = agent.test(EPISODES, make_envs(agent.config))
        agent.finish()
    assert len(scores) == EPISODES
    return _row("mpe/simple_spread", agent.current_step, [sum(scores) / EPISODES], clock)


def smax_here(seed: int, steps: str, checkout: str) -> Row:
    """SMAX with Shoal, QMIX as it comes."""
    import shoal

    world = shoal.make("jaxmarl:HeuristicEnemySMAX", scenario="2s3z")
    return _here("qmix", world, int(steps), seed, 1, {})


def smax_there(mended: bool, seed: int, steps: str, checkout: str) -> Row:
    """SMAX with the script in a checkout of JaxMARL."""
    import jax
    import yaml

    folder = Path(checkout) / "baselines" / "QLearning"
    source = (folder / "qmix_rnn.py").read_text()
    wrong, right = 'minibatch.dones["__all__"][:-1]', 'minibatch.dones["__all__"][1:]'
    assert source.count(wrong) == 1
    script: dict[str, Any] = {"__name__": "qmix_rnn"}
    exec(source.replace(wrong, right) if mended else source, script)
    config = yaml.safe_load((folder / "config" / "alg" / "ql_rnn_smax.yaml").read_text())
    config |= {"MAP_NAME": "2s3z", "TOTAL_TIMESTEPS": int(steps), "WANDB_MODE": "disabled"}
    config |= {"TEST_INTERVAL": 1.0, "TEST_NUM_ENVS": EPISODES}
    clock = Clock()
    env, _ = script["env_from_config"](config)
    train = jax.jit(script["make_train"](config, env))
    key = jax.random.PRNGKey(seed)
    train = train.lower(key).compile()
    clock.mark(0)
    learner, _, test, _ = jax.block_until_ready(train(key))["runner_state"]
    made = int(learner.timesteps)
    clock.mark(made)
    found = float(test["returned_episode_returns"])
    return _row("HeuristicEnemySMAX 2s3z", made, [found], clock)


class Clock:
    """CPU and wall-clock seconds at marked steps, from when it was made."""

    def __init__(self) -> None:
        self.marks: list[tuple[int, float, float]] = []
        self._start = (time.process_time(), time.perf_counter())

    def mark(self, step: int) -> None:
        """Remembers when so many steps were made."""
        cpu, wall = self._start
        self.marks.append((step, time.process_time() - cpu, time.perf_counter() - wall))

    def seconds(self, steps: int) -> Row:
        """Of so many steps at the rate between the first mark and the last, and of what was before
        the first."""
        (first, *early), (last, *late) = self.marks[0], self.marks[-1]
        found = {}
        for name, a, b in zip(("cpu", "wall"), early, late):
            step = (b - a) / (last - first)
            found |= {f"train_{name}": step * steps, f"start_{name}": a - step * first}
        return found


def _here(algorithm: str, world: Any, steps: int, seed: int, seeds: int, settings: Row) -> Row:
    """A training with Shoal."""
    import shoal

    with tempfile.TemporaryDirectory() as folder:
        clock = Clock()
        run = shoal.train(
            algorithm,
            world,
            total_steps=steps,
            seed=seed,
            seeds=seeds,
            evaluations=1,
            eval_episodes=EPISODES,
            out=Path(folder) / "run",
            watchers=[lambda rows: clock.mark(rows[0]["step"])],
            **settings,
        )
        report = run.evaluation
    assert report is not None
    made = clock.marks.pop()[0]  # the last report comes after the evaluation
    returns = [member["return"] for member in report["members"]]
    return _row(run.config.environment.rpartition(":")[2], made, returns, clock)


def _row(environment: str, steps: int, returns: list[float], clock: Clock) -> Row:
    return {
        "environment": environment,
        "steps": steps,
        "seeds": len(returns),
        "episodes": EPISODES,
        "returns": json.dumps([round(x, 2) for x in returns]),
        **{name: f"{seconds:.1f}" for name, seconds in clock.seconds(steps).items()},
        "versions": json.dumps(_versions()),
    }


def _versions() -> dict[str, str]:
    """Of the packages that this interpreter has."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


# In the order in which they take turns:
TRAININGS: dict[str, dict[tuple[str, str], Callable[..., Row]]] = {
    "sb3": {("sac", "shoal"): sac_here, ("sac", "stable-baselines3"): sac_there},
    "rejax": {("ppo", "shoal"): ppo_here, ("ppo", "rejax"): ppo_there},
    "xuance": {
        (algorithm, library): partial(train, algorithm)
        for algorithm in ("qmix", "maddpg")
        for library, train in (("shoal", spread_here), ("xuance", spread_there))
    },
    "jaxmarl": {
        ("qmix", "shoal"): smax_here,
        ("qmix", "jaxmarl"): partial(smax_there, False),
        ("qmix", "jaxmarl, mended"): partial(smax_there, True),
    },
}

if __name__ == "__main__":
    comparison, algorithm, library, seed, *more = sys.argv[1:]
    print(json.dumps(TRAININGS[comparison][algorithm, library](int(seed), *more)))
