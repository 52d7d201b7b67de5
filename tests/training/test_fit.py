"""Algorithms that break their promises are one line that names class and method."""

import re
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from probes import Probe

import shoal
from shoal.core.algorithm import Algorithm, Policy
from shoal.core.distributions import Categorical, DiagonalNormal
from shoal.core.env import TimeStep
from shoal.core.errors import UserError
from shoal.training.fit import check_kind, check_learner, check_same, trace
from shoal.training.on_device import OnDevice
from shoal.training.train import algorithm_name


class Fixed(Policy):
    logits: jax.Array

    def initial_carry(self):
        return jnp.float32(0)

    def __call__(self, timestep: TimeStep, carry, key):
        shape = (*timestep.reward.shape, 3)
        return Categorical(jnp.broadcast_to(self.logits, shape)), carry + 1


class Plain(Algorithm):
    """Learns nothing; each field spoils one thing."""

    learned: str = eqx.field(static=True, default="good")
    acted: str = eqx.field(static=True, default="good")
    policy_kind: str = eqx.field(static=True, default="good")

    def init(self, spec, key):
        return {"policy": Fixed(jnp.zeros(3)), "count": jnp.int32(0)}

    def acting(self, state):
        return state["policy"]

    def act(self, acting, timestep, carry, key):
        distribution, carry = acting(timestep, carry, key)
        action = distribution.sample(key)
        if self.acted == "carry":
            carry = carry[None]
        changed = {"one agent": action[:, 0], "real": action.astype(jnp.float32)}
        return changed.get(self.acted, action), carry, None

    def learn(self, state, trajectory, key):
        grown = {
            "good": state,
            "shape": {**state, "policy": Fixed(jnp.zeros(4))},
            "type": {**state, "count": state["count"] * 1.5},
            "more": {**state, "extra": jnp.zeros(2)},
            "less": {"policy": state["policy"]},
            "metric": state,
        }[self.learned]
        return grown, {"loss": jnp.zeros(2 if self.learned == "metric" else ())}

    def policy(self, state):
        if self.policy_kind == "real":
            return Real()
        return state["policy"]


class Real(Policy):
    """Real actions where discrete ones are wanted."""

    def initial_carry(self):
        return None

    def __call__(self, timestep, carry, key):
        mean = jnp.zeros((*timestep.reward.shape, 3))
        return DiagonalNormal(mean, mean, jnp.ones((2, 3), bool)), carry


def look_at(learner: Any) -> None:
    """As a run does before it begins."""
    check_learner(learner, Probe(), trace(learner))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {"learned": "shape"},
            "Plain.learn returns a state whose ['policy'].logits is float32[4], expected "
            "float32[3]",
        ),
        (
            {"learned": "type"},
            "Plain.learn returns a state whose ['count'] is float32[], expected int32[]",
        ),
        (
            {"learned": "more"},
            "Plain.learn returns a state with ['extra'], float32[2], which it did not get",
        ),
        (
            {"learned": "less"},
            "Plain.learn returns a state without ['count'], which is int32[]",
        ),
        ({"learned": "metric"}, "metric 'loss' of OnDevice is float32[2], expected one number"),
        (
            {"acted": "one agent"},
            "Plain.act gives actions int32[4], expected int32[4, 2] for 4 environments of 2 "
            "agents in Probe",
        ),
        (
            {"acted": "real"},
            "Plain.act gives actions float32[4, 2], expected int32[4, 2] for 4 environments of 2 "
            "agents in Probe",
        ),
        (
            {"acted": "carry"},
            "Plain.act returns a carry whose value is float32[1, 4], expected float32[4]",
        ),
        (
            {"policy_kind": "real"},
            "Real, the policy of OnDevice, gives actions float32[1, 2, 3], expected int32[1, 2] "
            "for 1 environments of 2 agents in Probe",
        ),
    ],
)
def test_the_first_thing_that_does_not_fit_is_named(
    fields: dict, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jax.stages.Lowered, "compile", lambda *_, **__: pytest.fail("compiled"))
    with pytest.raises(UserError) as error:
        look_at(OnDevice(Plain(**fields), Probe(), 4, 2))
    assert str(error.value) == said
    with pytest.raises(UserError, match=re.escape(said.split("[")[0])):
        shoal.train(Plain(**fields), Probe(), out=tmp_path / "x", num_envs=4, unroll=2)
    assert not (tmp_path / "x").exists()


def test_what_is_looked_at_is_what_is_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An update is traced once in all: not for the look, and again for the program."""
    traced, update = [], OnDevice.update
    counted = lambda self, state: traced.append(1) or update(self, state)  # noqa: E731
    monkeypatch.setattr(OnDevice, "update", counted)
    shoal.train(Plain(), Probe(), out=tmp_path / "x", num_envs=4, unroll=2, total_steps=16)
    assert len(traced) == 1


class Growing(eqx.Module):
    """A learner around another, whose state grows, or whose policy is none."""

    inner: OnDevice
    grows: bool = eqx.field(static=True)
    steps_per_update: int = eqx.field(static=True, default=8)

    def init(self, key):
        return self.inner.init(key), jnp.int32(0)

    def update(self, state):
        inner, metrics = self.inner.update(state[0])
        return (inner, state[1][None] if self.grows else state[1]), metrics

    def policy(self, state):
        return Categorical(jnp.zeros((1, 2, 3)))


def test_what_fits_passes_and_other_learners_are_named() -> None:
    inner = OnDevice(Plain(), Probe(), 4, 2)
    look_at(inner)
    with pytest.raises(UserError) as error:
        look_at(Growing(inner, grows=True))
    said = "Growing.update returns a state whose [1] is int32[1], expected int32[]"
    assert str(error.value) == said
    with pytest.raises(UserError) as error:
        look_at(Growing(inner, grows=False))
    assert str(error.value) == "Growing.policy gives a Categorical, expected a shoal.Policy"
    with pytest.raises(UserError, match=r"^str is no learner: it needs steps_per_update, init"):
        check_kind("x")


def test_structure_that_is_no_array_counts_too() -> None:
    check_same((1.0, {"a": 2}), (3.0, {"a": 4}), "x")
    with pytest.raises(UserError, match=r"^f returns a state of another structure than it got$"):
        check_same((1.0, 2.0), [1.0, 2.0], "f")


def test_an_object_that_is_no_algorithm_is_named(tmp_path: Path) -> None:
    class Half(Algorithm):
        def init(self, spec, key):
            return None

    for thing, said in (
        (Probe(), "^Probe is no algorithm, expected a name or an object of shoal.Algorithm"),
        (Half, "^Half is a class, expected an algorithm made of it"),
    ):
        with pytest.raises(UserError, match=said):
            algorithm_name(thing)
    (tmp_path / "half.py").write_text(
        "import shoal\nclass Half(shoal.Algorithm):\n    def init(self, spec, key): ...\n"
    )
    with pytest.raises(UserError) as error:
        shoal.make_algorithm(f"{tmp_path}/half.py:Half")
    said = "lacks act, acting, learn, policy: an algorithm needs them"
    assert str(error.value) == f"Half of {tmp_path}/half.py {said}"
