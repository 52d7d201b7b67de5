"""Policies of worlds of the host go out with their images, scales and masks inside."""

import dataclasses

import jax
import numpy as np
import pytest
from host_worlds import Far, Lamp

import shoal
from shoal.core.env import TimeStep
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
