"""What is read off the source is what Python makes of it."""

import dataclasses
import subprocess
import sys
import typing

import pytest

from shoal import registry
from shoal.cli.arguments import Arguments
from shoal.cli.declared import check_options, fields
from shoal.core.errors import UserError

ENTRIES = registry.ALGORITHMS | registry.ENVIRONMENTS
COMPOUND = (
    "hidden",
    "payoffs",
    "actions",
    "players",
    "behaviour",
)  # or "..._hidden": left to the parser


@pytest.mark.parametrize("name", ENTRIES)
def test_fields_and_types_are_those_of_the_class(name: str) -> None:
    kind = type(ENTRIES[name].load()())
    hints = typing.get_type_hints(kind, include_extras=True)
    read = fields(ENTRIES[name].target)
    assert set(read) == {field.name for field in dataclasses.fields(kind)}
    for field, found in read.items():
        assert found == hints[field] or (found is None and field.endswith(COMPOUND))


def test_a_mistake_is_found_without_jax() -> None:
    script = (
        "import sys; from shoal.cli.main import run\n"
        "code = run(['train', 'mappo', 'mpe/simple', '--algo.discount', '2'])\n"
        "print(code, [m for m in ('jax', 'numpy', 'equinox', 'tyro') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "2 []\n"
    assert done.stderr == "shoal: --algo.discount is 2.0, expected a number in [0, 1]\n"


TARGETS = {"--algo.": "shoal.agents.policy_gradient.ppo:mappo"}


@pytest.mark.parametrize(
    "words",
    [
        "--algo.learning-rate 1e-3 --algo.init-log-std -1",
        "--algo.learning_rate=0.1 --algo.hidden 8 8",
        "--algo.sharing role --algo.clip-values False --algo.clip-values",
    ],
)
def test_good_options_pass(words: str) -> None:
    check_options(Arguments.of(words.split()), TARGETS)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--algo.epoch 3", "unknown option '--algo.epoch': did you mean '--algo.epochs'?"),
        ("--algo.epochs 1.5", "--algo.epochs is '1.5', expected a whole number"),
        ("--algo.clip=nan", "--algo.clip is nan, expected a positive number"),
        ("--algo.clip inf", "--algo.clip is inf, expected a positive number"),
        ("--algo.clip-values yes", "--algo.clip-values is 'yes', expected True or False"),
        ("--algo.critic globl", "unknown --algo.critic 'globl': did you mean 'global'?"),
    ],
)
def test_bad_options_are_named(words: str, said: str) -> None:
    with pytest.raises(UserError) as error:
        check_options(Arguments.of(words.split()), TARGETS)
    assert str(error.value) == said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--env.length 7", """go into --env.settings '{"length": 7}'"""),
        ("--env.easy", """go into --env.settings '{"easy": true}'"""),
        ("--env.size=3 big False", """go into --env.settings '{"size": [3, "big", false]}'"""),
        ("--env.horizn 7", "did you mean '--env.horizon'?"),
        ("--gif", "unknown option '--gif': did you mean '--format gif'?"),
        ("--heat_map", "unknown option '--heat_map': did you mean '--format heat-map'?"),
    ],
)
def test_what_is_meant_by_an_option_that_does_not_exist(words: str, said: str) -> None:
    targets = {"--env.": "shoal.envs.host.world:HostWorld", "--": "shoal.cli.render:Options"}
    with pytest.raises(UserError) as error:
        check_options(Arguments.of(words.split()), targets)
    assert str(error.value).endswith(said)


def test_a_class_whose_source_does_not_tell_is_left_to_the_parser() -> None:
    words = Arguments.of(["--algo.nonsense", "1"])
    check_options(words, {"--algo.": "collections:OrderedDict"})
    check_options(words, {"--algo.": "json:loads"})
