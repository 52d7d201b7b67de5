"""Policies of worlds of the host go out with their images, scales and masks inside."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from host_worlds import Far, Lamp

import shoal
from shoal.core.env import TimeStep
from shoal.export.export import export_run
from shoal.export.onnx_export import to_onnx
from shoal.export.policy_function import policy_function
from shoal.registry import make_algorithm

pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


@pytest.mark.parametrize("kind", [Lamp, Far])
def test_a_file_says_what_the_live_policy_says(kind):
    world = shoal.from_gymnasium(kind, name="world", frame_stack=2)
    algorithm = make_algorithm("ippo", hidden=(16,), normalise_observations=True)
    state = algorithm.init(world.spec, jax.random.key(0))
    seen = 1000 * jax.random.uniform(jax.random.key(1), (6, 5, 1, world.spec.obs_size))
    state = dataclasses.replace(state, scales=state.scales.update(TimeStep.of(seen)))
    policy = algorithm.policy(state)
    live, _ = policy(TimeStep.of(seen[0]), None, jax.random.key(0))
    session = onnxruntime.InferenceSession(to_onnx(policy_function(policy, world), None))
    names = [output.name for output in session.get_outputs()]
    out = dict(zip(names, session.run(None, {"obs": np.asarray(seen[0])})))
    np.testing.assert_allclose(out["log_probs"], live.log_probs, atol=1e-5)


@pytest.mark.parametrize("horizon", [0, 50])
def test_a_card_tells_of_no_limit_that_nobody_knows(horizon, tmp_path):
    world = shoal.from_gymnasium(Lamp, "lamp", in_process=True, horizon=horizon)
    small = {"total_steps": 16, "num_envs": 2, "unroll": 8, "evaluations": 1, "eval_episodes": 2}
    net = {"hidden": (4,), "minibatches": 1, "epochs": 1}
    run = shoal.train("ippo", world, out=tmp_path / "run", **small, **net)
    files = export_run(run.directory, "stablehlo", env=world)
    assert json.loads(files.card.read_text())["environment"]["horizon"] == (horizon or None)
    said = f"Episodes have {horizon} steps at most" if horizon else "."
    page = (tmp_path / "run" / "policy.md").read_text()
    assert said in page and ("steps at most" in page) == bool(horizon)
