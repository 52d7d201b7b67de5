"""A trained team without Shoal: onnxruntime and NumPy are all that it needs.

python run_exported.py policy.onnx
"""

import json
import sys

import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession(sys.argv[1])
card = json.loads(session.get_modelmeta().custom_metadata_map["shoal"])
outputs = [output.name for output in session.get_outputs()]
rng = np.random.default_rng(0)


def draw(out: dict[str, np.ndarray]) -> np.ndarray:
    """A sampled action; `out["action"]` is the greedy one."""
    if card["action"]["kind"] == "box":
        action = out["mean"] + out["std"] * rng.standard_normal(out["mean"].shape)
        return np.clip(action, card["action"]["low"], card["action"]["high"])
    sums = out["probs"].cumsum(-1)  # of each agent's actions, or of the options of each factor
    point = rng.random(sums.shape[:-1]) * sums[..., -1]
    return (point[..., None] >= sums).sum(-1)


# One world (a batch of 1); recurrent policies start from zeros, and every action is legal.
feed = {
    x.name: np.zeros([1, *x.shape[1:]], "bool" if x.type == "tensor(bool)" else "float32")
    for x in session.get_inputs()
}
if "action_mask" in feed:
    feed["action_mask"][:] = True
for step in range(25):
    feed["obs"] = rng.standard_normal(feed["obs"].shape, "float32")  # your world's observations
    out = dict(zip(outputs, session.run(outputs, feed)))
    print(f"step {step}: greedy {out['action'].tolist()}, drawn {draw(out).tolist()}")
    feed |= {k.removeprefix("next_"): x for k, x in out.items() if k.startswith("next_")}
