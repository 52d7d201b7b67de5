"""Matching by name and with ties: stable by the definition, pair by pair."""

import itertools

import numpy as np
import pytest

from shoal.core.errors import UserError
from shoal.games import gale_shapley, match_by_name


def random_wishes(names, others, rng):
    """Lists of some of the others, in which some tie."""
    wishes = {}
    for name in names:
        chosen = rng.permutation(others)[: rng.integers(len(others) + 1)].tolist()
        cuts = [0, *np.flatnonzero(rng.random(len(chosen)) < 0.6), len(chosen)]
        wishes[name] = [tuple(chosen[a:b]) for a, b in itertools.pairwise(cuts) if b > a]
    return wishes


def level(wishes, name, other):
    """How far down a name ranks another; none where it does not accept it."""
    found = [k for k, tier in enumerate(wishes[name]) if other in tier]
    return found[0] if found else None


def would_both_leave(found, people, schools, places):
    """By the definition."""
    pairs = []
    for person in people:
        for school in schools:
            mine, theirs = level(people, person, school), level(schools, school, person)
            if mine is None or theirs is None:
                continue
            now = found.partner[person]
            rather = now is None or mine < level(people, person, now)
            held = found.held[school]
            takes = len(held) < places.get(school, 1) or any(
                theirs < level(schools, school, other) for other in held
            )
            if rather and takes and places.get(school, 1):
                pairs.append((person, school))
    return pairs


@pytest.mark.parametrize("seed", range(60))
def test_it_is_stable_and_says_so(seed):
    rng = np.random.default_rng(seed)
    names, houses = ["Ann", "Bob", "Cy", "Di", "Ed"], ["North", "South", "East"]
    people, schools = random_wishes(names, houses, rng), random_wishes(houses, names, rng)
    places = {"North": int(rng.integers(3))}
    found = match_by_name(people, schools, places)
    assert found.stable and would_both_leave(found, people, schools, places) == []
    for person, school in found.partner.items():
        assert school is None or (
            level(people, person, school) is not None
            and level(schools, school, person) is not None
            and person in found.held[school]
        )


def test_without_ties_it_is_the_matching_by_numbers():
    people = {"a": ["x", "y"], "b": ["x", "y"], "c": ["y"]}
    schools = {"x": ["b", "a"], "y": ["c", "a", "b"]}
    found = match_by_name(people, schools, {"y": 2})
    numbers = gale_shapley([[0, 1], [0, 1], [1]], [[1, 0], [2, 0, 1]], [1, 2])
    assert [*found.partner.values()] == [[None, "x", "y"][host + 1] for host in numbers.partner]


@pytest.mark.parametrize(
    "people, schools, places, said",
    [
        ({"a": ["z"]}, {"x": ["a"]}, None, "unknown receiver 'z'"),
        ({"a": ["x", ("x",)]}, {"x": ["a"]}, None, "proposer 'a' names 'x' twice"),
        ({"a": "x"}, {"x": ["a"]}, None, "proposer 'a' wants 'x', expected a list of names"),
        ({"a": ["x"]}, {"x": ["a"]}, {"y": 2}, "unknown receiver of a capacity 'y'"),
        ({"a": ["x"]}, {"x": ["a"]}, {"x": -1}, "none below 0"),
    ],
)
def test_mistakes_are_one_line(people, schools, places, said):
    with pytest.raises(UserError, match=said):
        match_by_name(people, schools, places)


def test_names_and_ties_where_numbers_are_expected_are_told():
    for proposers in ([["x"]], [[(0, 1)]]):
        with pytest.raises(UserError, match="expected the number of a receiver: match_by_name"):
            gale_shapley(proposers, [[0], [0]])
