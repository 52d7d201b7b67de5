"""Fields as plain data: what goes into `config.json` comes out, and nothing foreign is run."""

import dataclasses
import json
import sys
from pathlib import Path

import equinox as eqx
import jax.numpy as jnp
import pytest

import shoal
from shoal import registry
from shoal.agents.policy_gradient.ppo import PPO
from shoal.core.algorithm import Algorithm
from shoal.core.env import Env
from shoal.core.errors import UserError
from shoal.core.limits import Fraction
from shoal.envs.particle.simple import Simple
from shoal.runs.fields import check_types, fields_of, from_fields, paths, replace_at


class Wrapper(eqx.Module):
    inner: PPO
    parts: tuple[Algorithm, ...] = ()
    bounds: tuple[tuple[float, ...], ...] = eqx.field(static=True, default=((0.0, 1.0), (-0.1, 3)))
    share: Fraction = 0.1
    name: str | None = eqx.field(static=True, default=None)
    env: Env | None = None


def wrapper(**fields) -> Wrapper:
    return Wrapper(PPO(hidden=(8, 4)), **fields)


def through_json(thing) -> object:
    data = json.loads(json.dumps(fields_of(thing)))
    return type(thing)(**from_fields(data, home=type(thing).__module__))


def test_objects_within_objects_come_back_as_they_were() -> None:
    deep = wrapper(
        parts=(PPO(learning_rate=1 / 3), shoal.make_algorithm("vdn", hidden=(3,))),
        env=Simple(damping=0.1 + 0.2),
        share=float("1e-300"),
    )
    again = through_json(deep)
    assert again == deep and type(again.parts[1]) is type(deep.parts[1])
    assert again.bounds == ((0.0, 1.0), (-0.1, 3)) and type(again.bounds[1]) is tuple
    assert again.env.damping == 0.30000000000000004


@pytest.mark.parametrize("name", [*registry.ALGORITHMS, *registry.ENVIRONMENTS])
def test_all_of_the_registry_survives_json(name: str) -> None:
    known = registry.ALGORITHMS if name in registry.ALGORITHMS else registry.ENVIRONMENTS
    thing = known[name].load()()
    data = fields_of(thing)
    make = registry.make_algorithm if name in registry.ALGORITHMS else registry.make
    again = make(name, **from_fields(json.loads(json.dumps(data))))
    assert fields_of(again) == data
    check_types(again, name)


def test_arrays_are_kept_where_they_become_arrays_again() -> None:
    class Holds(eqx.Module):
        x: jnp.ndarray = eqx.field(converter=jnp.asarray)
        bare: object = None

    values = [[0.1, 2.0], [3.0, -1e-7]]
    data = fields_of(Holds(jnp.array(values)))
    assert jnp.array_equal(Holds(**from_fields(data)).x, jnp.array(values))
    with pytest.raises(UserError, match=r"^Holds.bare is an array: give it eqx.field\(conv"):
        fields_of(Holds(1.0, jnp.ones(2)))
    with pytest.raises(UserError, match=r"^Holds.bare is a function: cannot be kept in a config$"):
        fields_of(Holds(1.0, through_json))


INNER = "config.json: algorithm_fields.inner"
KIND = "shoal.agents.policy_gradient.ppo:PPO"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (
            {"type": "antigravity:geohash", "fields": {}},
            f"{INNER}: antigravity:geohash is of a module that is neither Shoal's nor imported: "
            "import it first",
        ),
        (
            {"type": "/tmp/evil.py:Evil", "fields": {}},
            f"{INNER}: /tmp/evil.py:Evil is of a module that is neither Shoal's nor imported: "
            "import it first",
        ),
        ({"type": "os:system", "fields": {}}, f"{INNER}: os:system is no class"),
        ({"type": "os:PathLike", "fields": {}}, f"{INNER}: os:PathLike is no class with fields"),
        ({"type": "os:Pathlike", "fields": {}}, f"{INNER}: unknown class of os 'Pathlike'"),
        ({"type": "shoal.nowhere:X", "fields": {}}, f"{INNER}: shoal.nowhere cannot be imported"),
        ({"fields": {}}, f"{INNER}: expected a type and its fields"),
        ({"type": 3, "fields": {}}, f"{INNER}: expected a type and its fields"),
        (
            {"type": KIND, "fields": {"clap": 1}},
            f"{INNER}: unknown field of PPO 'clap': did you mean 'clip'?",
        ),
        (
            {"type": KIND, "fields": {"learning_rate": "fast"}},
            f"{INNER}.learning_rate is 'fast', expected a number",
        ),
        (
            {"type": KIND, "fields": {"epochs": True}},
            f"{INNER}.epochs is True, expected a whole number",
        ),
        (
            {"type": KIND, "fields": {"hidden": [8, "8"]}},
            f"{INNER}.hidden is (8, '8'), expected tuple[int, ...]",
        ),
        (
            {"type": KIND, "fields": {"discount": 2.0}},
            f"{INNER}: discount is 2.0, expected a number in [0, 1]",
        ),
    ],
)
def test_what_will_not_do_is_one_line_that_names_the_place(value: dict, said: str) -> None:
    with pytest.raises(UserError) as error:
        from_fields({"inner": value}, place="config.json: algorithm_fields")
    assert str(error.value).startswith(said) and "\n" not in str(error.value)
    assert "antigravity" not in sys.modules


def test_an_object_of_another_class_is_named() -> None:
    other = dataclasses.replace(wrapper(), parts=(Simple(),))
    with pytest.raises(UserError, match=r"^top.parts is \(Simple.*expected tuple\[.*Algorithm"):
        check_types(other, "top")
    env = dataclasses.replace(wrapper(), env=PPO())
    with pytest.raises(UserError, match=r"^top.env is a PPO, expected "):
        check_types(env, "top")


def test_classes_of_ones_own_file_are_found_by_it(tmp_path: Path) -> None:
    """Of the file that the environment is in, and of no other."""
    source = (
        "import equinox as eqx\n"
        "class Kind(eqx.Module):\n    x: float = 1.0\n"
        "class Holder(eqx.Module):\n    kind: Kind = eqx.field(default_factory=Kind)\n"
    )
    for name in ("mine", "other"):
        (tmp_path / f"{name}.py").write_text(source)
    from shoal.core import addresses

    holder = addresses.find(f"{tmp_path}/mine.py:Holder")
    data = fields_of(holder())
    assert data["kind"]["type"] == f"{tmp_path}/mine.py:Kind"
    foreign = {"kind": {"type": f"{tmp_path}/other.py:Kind", "fields": {"x": 2.0}}}
    with pytest.raises(UserError, match="neither Shoal's nor imported"):
        from_fields(foreign)
    assert from_fields(foreign, home=f"{tmp_path}/other.py")["kind"].x == 2.0


def test_a_path_leads_to_a_field_however_deep() -> None:
    deep = wrapper(parts=(PPO(), PPO()))
    changed = replace_at(replace_at(deep, "parts.1.clip", 0.3), "inner.learning_rate", 0.5)
    assert (changed.inner.learning_rate, deep.inner.learning_rate) == (0.5, 7e-4)
    assert [part.clip for part in changed.parts] == [0.2, 0.3]
    static = dict(paths(deep))
    assert static["inner.clip"] is static["parts.0.clip"] is static["share"] is False
    assert static["inner.epochs"] is static["bounds"] is True
    with pytest.raises(UserError, match="expected a positive number"):
        replace_at(deep, "inner.clip", -1.0)
