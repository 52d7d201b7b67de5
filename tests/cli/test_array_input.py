"""Arrays that are written out on the command line."""

import pytest

from shoal import registry
from shoal.cli.arguments import Arguments
from shoal.cli.array_input import read_array
from shoal.cli.parse import parse
from shoal.core.errors import UserError


@pytest.mark.parametrize(
    ("text", "array"),
    [
        ("8 -12 -12; -12 0 0", [[8, -12, -12], [-12, 0, 0]]),
        ("-1/2, 3; 1e1, 0;", [[-0.5, 3], [10, 0]]),
        ("1,2;3,4", [[1, 2], [3, 4]]),
        ("1 , 2;3,\t4", [[1, 2], [3, 4]]),
        (" [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]", [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]),
        ("[1, 2]", [1, 2]),
    ],
)
def test_rows_and_json_become_lists(text, array):
    assert read_array(text) == array


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1 2; 3", "row 2 of the matrix has 1 cells, row 1 has 2"),
        ("1,2 3,4", "a cell of the matrix has 2 numbers, expected one"),
        ("1, 2 3, 4", "a cell of the matrix has 2 numbers, expected one"),
        ("1,,2", "the matrix: a number is missing beside a comma"),
        ("1 x", "the matrix: x is not a number"),
        (" ; ", "the matrix has no rows"),
        ("[[1, 2]", "the array is not JSON: Expecting ',' delimiter at character 7"),
    ],
)
def test_what_is_no_array_is_said_so(text, said):
    with pytest.raises(UserError) as error:
        read_array(text)
    assert str(error.value) == said


NFG = 'NFG 1 R "" { "a" "b" }\n{ 2 2 }\n3 3 5 0 0 5 1 1'


def of(world, text):
    return parse(registry.make(world), Arguments.of(["--payoffs", text]), "shoal").payoffs.tolist()


def test_payoffs_of_players_are_written_as_for_solve(tmp_path):
    table = [[[3, 0, 2], [0, 2, 1]], [[2, 0, 1], [0, 3, 1]]]
    assert of("game/matrix", "3,2 0,0 2,1; 0,0 2,3 1,1") == table
    assert of("game/matrix", str(table)) == table
    assert of("game/matrix", "3 2; 1 0") == [[[3, 2], [1, 0]], [[-3, -2], [-1, 0]]]
    (tmp_path / "a.nfg").write_text(NFG)
    assert of("game/matrix", str(tmp_path / "a.nfg")) == [[[3, 0], [5, 1]], [[3, 5], [0, 1]]]
    assert of("coop/matrix", "3 2; 1 0") == [[3, 2], [1, 0]]


@pytest.mark.parametrize(
    ("world", "text", "said"),
    [
        ("coop/matrix", "3,2 0,0; 1,1 2,2", "a cell of the matrix has 2 numbers, expected one"),
        ("game/matrix", "kuhn", "kuhn is a tree: expected payoffs"),
        ("game/matrix", "3,2,1 0,0,0", "have [3] numbers, expected one each (zero sum) or two"),
    ],
)
def test_payoffs_that_are_none_are_said_so(world, text, said):
    with pytest.raises(UserError) as error:
        of(world, text)
    assert said in str(error.value)


def test_the_file_of_a_game_is_told_its_environment():
    with pytest.raises(UserError, match=r"the environment is game/matrix --env.payoffs a.nfg$"):
        registry.full_name("a.nfg")
    with pytest.raises(UserError, match=r"the environment is game/efg --env.tree a.efg$"):
        registry.full_name("a.efg")
