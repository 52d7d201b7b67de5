"""Game theory: one game object, solvers that certify their answers.

    game = NormalForm.bimatrix([[3, 0], [0, 2]], [[2, 0], [0, 3]])
    equilibria(game).profiles, equilibria(game).regrets
    cfr(kuhn(), 1000, "cfr+").nash_conv
    shapley(CharacteristicFunction.weighted_voting(51, [40, 22, 30, 9]))

Subjects: normal form (this folder), `dynamics` (learning and evolution in continuous time),
`evolutionary` (finite populations, alpha-rank), `extensive` (trees), `cooperative` (coalitions),
`mechanisms` (auctions, matching), `gambit` (files). What is most used is named here.
"""

import inspect
from typing import TYPE_CHECKING, Any

from shoal.games.bimatrix import equilibria, nash_subsets
from shoal.games.classic import (
    CLASSIC,
    blotto,
    classic,
    covariant,
    random as random_game,
    sealed_bid,
)
from shoal.games.congestion import congestion
from shoal.games.cooperative.characteristic import CharacteristicFunction
from shoal.games.cooperative.core import (
    Core,
    LeastCore,
    core,
    is_convex,
    is_superadditive,
    least_core,
)
from shoal.games.cooperative.nucleolus import Nucleolus, is_nucleolus, nucleolus, prenucleolus
from shoal.games.cooperative.sampling import ShapleyEstimate, shapley_sampled
from shoal.games.cooperative.values import banzhaf, myerson, owen, shapley
from shoal.games.cooperative.voting import VotingPower, voting_power
from shoal.games.correlated import Correlated, correlated_equilibrium, correlated_regret
from shoal.games.dominance import Elimination, dominated_actions, iterated_elimination
from shoal.games.dynamics.flows import (
    best_response as best_response_dynamics,
    discrete_replicator,
    logit as logit_dynamics,
    replicator,
)
from shoal.games.dynamics.learning import fictitious_play, hedge, projection, regret_matching
from shoal.games.dynamics.trajectory import Trajectory
from shoal.games.efficiency import (
    is_pareto_optimal,
    pareto_front,
    price_of_anarchy,
    price_of_stability,
    welfare,
)
from shoal.games.evolutionary.alpha_rank import AlphaRank, alpha_rank, sink_components
from shoal.games.evolutionary.diversity import (
    effective_diversity,
    expected_cardinality,
    response_diversity,
)
from shoal.games.evolutionary.finite import (
    Moran,
    PairwiseComparison,
    fixation_probability,
    rare_mutations,
)
from shoal.games.evolutionary.nash_averaging import nash_averaging
from shoal.games.evolutionary.population_chain import population_chain
from shoal.games.evolutionary.stability import evolutionarily_stable, is_ess
from shoal.games.extensive.cfr import CFRResult, cfr
from shoal.games.extensive.goofspiel import goofspiel
from shoal.games.extensive.kuhn import kuhn
from shoal.games.extensive.leduc import leduc
from shoal.games.extensive.liars_dice import liars_dice
from shoal.games.extensive.mixture import mixture
from shoal.games.extensive.policy_values import (
    BestResponse,
    best_response,
    exploitability,
    nash_conv,
    value,
)
from shoal.games.extensive.reduced_form import to_normal_form
from shoal.games.extensive.sequence_form import SequenceSolution, sequence_form
from shoal.games.extensive.subgame_perfect import SubgamePerfect, subgame_perfect
from shoal.games.extensive.tic_tac_toe import tic_tac_toe
from shoal.games.extensive.tree import ExtensiveForm, Rules, extensive_form
from shoal.games.gambit.efg import read_efg, write_efg
from shoal.games.gambit.nfg import read_nfg, write_nfg
from shoal.games.homotopy import logit_nash, n_player_equilibrium
from shoal.games.kinds import asks_for_its_kind
from shoal.games.lemke_howson import lemke_howson, lemke_howson_batch
from shoal.games.logit import LogitEquilibrium, LogitPath, logit_equilibrium, logit_path
from shoal.games.mechanisms.auctions import (
    AuctionEquilibrium,
    all_pay,
    first_price,
    second_price,
    third_price,
)
from shoal.games.mechanisms.double_auctions import chatterjee_samuelson, mcafee
from shoal.games.mechanisms.matching import Matching, gale_shapley, is_stable, top_trading_cycles
from shoal.games.mechanisms.named_matching import NamedMatching, match_by_name
from shoal.games.mechanisms.position_auctions import envy_free_bids, generalized_second_price
from shoal.games.mechanisms.private_values import Uniform, myerson_reserve, virtual_value
from shoal.games.mechanisms.sealed_bids import Sale, run_auction
from shoal.games.mechanisms.vcg import VCGOutcome, vcg, vcg_assignment
from shoal.games.normal_form import NormalForm, Profile, expected_payoffs, gains, regret
from shoal.games.pure_equilibria import pure_equilibria
from shoal.games.solution import Equilibria
from shoal.games.stackelberg import Stackelberg, stackelberg
from shoal.games.support_enumeration import support_enumeration
from shoal.games.zero_sum import ZeroSum, zero_sum, zero_sum_batch

if TYPE_CHECKING:
    from shoal.games.open_spiel import from_open_spiel, to_open_spiel
    from shoal.games.plots.pictures import save_pictures

_BRIDGES = {
    "from_open_spiel": "shoal.games.open_spiel",
    "save_pictures": "shoal.games.plots.pictures",
    "to_open_spiel": "shoal.games.open_spiel",
}
"""What needs matplotlib or OpenSpiel: imported when first used."""

__all__ = [
    "CLASSIC",
    "AlphaRank",
    "AuctionEquilibrium",
    "BestResponse",
    "CFRResult",
    "CharacteristicFunction",
    "Core",
    "Correlated",
    "Elimination",
    "Equilibria",
    "ExtensiveForm",
    "LeastCore",
    "LogitEquilibrium",
    "LogitPath",
    "Matching",
    "Moran",
    "NamedMatching",
    "NormalForm",
    "Nucleolus",
    "PairwiseComparison",
    "Profile",
    "Rules",
    "Sale",
    "SequenceSolution",
    "ShapleyEstimate",
    "Stackelberg",
    "SubgamePerfect",
    "Trajectory",
    "Uniform",
    "VCGOutcome",
    "VotingPower",
    "ZeroSum",
    "all_pay",
    "alpha_rank",
    "banzhaf",
    "best_response",
    "best_response_dynamics",
    "blotto",
    "cfr",
    "chatterjee_samuelson",
    "classic",
    "congestion",
    "core",
    "correlated_equilibrium",
    "correlated_regret",
    "covariant",
    "discrete_replicator",
    "dominated_actions",
    "effective_diversity",
    "envy_free_bids",
    "equilibria",
    "evolutionarily_stable",
    "expected_cardinality",
    "expected_payoffs",
    "exploitability",
    "extensive_form",
    "fictitious_play",
    "first_price",
    "fixation_probability",
    "from_open_spiel",
    "gains",
    "gale_shapley",
    "generalized_second_price",
    "goofspiel",
    "hedge",
    "is_convex",
    "is_ess",
    "is_nucleolus",
    "is_pareto_optimal",
    "is_stable",
    "is_superadditive",
    "iterated_elimination",
    "kuhn",
    "least_core",
    "leduc",
    "lemke_howson",
    "lemke_howson_batch",
    "liars_dice",
    "logit_dynamics",
    "logit_equilibrium",
    "logit_nash",
    "logit_path",
    "match_by_name",
    "mcafee",
    "mixture",
    "myerson",
    "myerson_reserve",
    "n_player_equilibrium",
    "nash_averaging",
    "nash_conv",
    "nash_subsets",
    "nucleolus",
    "owen",
    "pareto_front",
    "population_chain",
    "prenucleolus",
    "price_of_anarchy",
    "price_of_stability",
    "projection",
    "pure_equilibria",
    "random_game",
    "rare_mutations",
    "read_efg",
    "read_nfg",
    "regret",
    "regret_matching",
    "replicator",
    "response_diversity",
    "run_auction",
    "save_pictures",
    "sealed_bid",
    "second_price",
    "sequence_form",
    "shapley",
    "shapley_sampled",
    "sink_components",
    "stackelberg",
    "subgame_perfect",
    "support_enumeration",
    "third_price",
    "tic_tac_toe",
    "to_normal_form",
    "to_open_spiel",
    "top_trading_cycles",
    "value",
    "vcg",
    "vcg_assignment",
    "virtual_value",
    "voting_power",
    "welfare",
    "write_efg",
    "write_nfg",
    "zero_sum",
    "zero_sum_batch",
]

# Here is where users stand: solvers call one another without being asked.
globals().update(
    {
        name: asks_for_its_kind(name, solver)
        for name in __all__
        if inspect.isfunction(solver := globals().get(name))
    }
)


def __getattr__(name: str) -> Any:
    if name not in _BRIDGES:
        raise AttributeError(f"module 'shoal.games' has no attribute '{name}'")
    import importlib

    return getattr(importlib.import_module(_BRIDGES[name]), name)
