"""Errors as a person reads them."""

import pytest

from shoal.core.errors import LONGEST, UserError, in_a_line, may_fail_to, optional, unknown

SAID = "\n  bad\taction \n\n in step 3\n"


@pytest.mark.parametrize(
    ("error", "how", "line"),
    [
        (ValueError(SAID), {}, "ValueError: bad action"),
        (ValueError(SAID), {"named": False}, "bad action"),
        (ValueError(SAID), {"whole": True}, "ValueError: bad action in step 3"),
        (ValueError(SAID), {"named": False, "whole": True}, "bad action in step 3"),
        (ValueError(), {}, "ValueError"),
        (ValueError(" \n"), {"named": False}, "ValueError"),
        (SystemExit(3), {}, "SystemExit: 3"),
    ],
)
def test_an_exception_in_a_line(error, how, line):
    assert in_a_line(error, **how) == line


def test_a_line_is_cut():
    line = in_a_line(ValueError("x" * 1000))
    assert len(line) == LONGEST and line.endswith("x…")
    exact = "x" * (LONGEST - len("ValueError: "))
    assert in_a_line(ValueError(exact)) == f"ValueError: {exact}"


def test_what_the_disk_refuses_is_the_users_to_mend(tmp_path):
    path = tmp_path / "lacking" / "x"
    with pytest.raises(UserError) as said, may_fail_to(f"write {path}"):
        path.write_text("")
    assert str(said.value) == f"cannot write {path}: No such file or directory"
    with pytest.raises(ZeroDivisionError), may_fail_to("divide"):
        _ = 1 / 0


def test_an_optional_package_that_is_missing_says_how_to_install_it():
    assert optional("json", "JSON", "json").loads("1") == 1
    with pytest.raises(UserError, match=r"^Nothing is not installed: pip install 'shoal\[no\]'$"):
        optional("nothing_of_this_name", "Nothing", "no")


@pytest.mark.parametrize(
    ("name", "valid", "line"),
    [
        (
            "--algo.lr",
            ["--algo.learning-rate", "--algo.clip"],
            "did you mean '--algo.learning-rate'?",
        ),
        ("gamma", ["discount", "gae_lambda"], "did you mean 'discount'?"),
        ("--total-timesteps", ["--steps", "--seeds"], "did you mean '--steps'?"),
        ("dqn", ["iql", "vdn", "ddpg"], "did you mean 'iql'?"),
        ("learning_rat", ["learning_rate", "clip"], "did you mean 'learning_rate'?"),
        ("PPO", ["iql", "ppo"], "did you mean 'ppo'?"),
        ("cartpole-v1", ["CartPole-v1", "Pendulum-v1"], "did you mean 'CartPole-v1'?"),
        ("xyzzy", ["iql", "vdn"], "choose one of: iql, vdn"),
        ("xyzzy", [f"name_{k}" for k in range(99)], ""),
    ],
)
def test_a_name_that_does_not_exist_is_told_with_what_is_meant(name, valid, line):
    said = str(unknown("thing", name, valid))
    assert said == f"unknown thing '{name}'" + (f": {line}" if line else "")
