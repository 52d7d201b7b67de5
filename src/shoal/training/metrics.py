"""What the numbers in a run's rows mean: every name that a learner reports, with its unit.

Those that an environment measures are explained by the environment itself.
"""

import jax

from shoal import registry
from shoal.core.errors import UserError
from shoal.runs.fields import from_fields
from shoal.training import presets
from shoal.training.learners import make_learner

_NETWORKS = {
    "actor": "the policies",
    "central": "the free utilities",
    "central_mixer": "the network that mixes the free utilities",
    "critic": "the critics",
    "critic_mixer_critic": "the critics",
    "critic_mixer_mixer": "the mixing network",
    "joint": "the joint value",
    "log_alpha": "the logarithm of the temperature",
    "mixer": "the mixing network",
    "q": "the agents' values",
    "v": "the state's value",
}

EVERY_ROW = {
    "step": "environment steps so far; one moves all agents of one environment",
    "return": "undiscounted return per agent of the episodes that ended since the last row, with "
    "the actions of training; of rival teams also `return/<team>`",
    "episode_length": "mean length of these episodes, in steps",
    "episodes": "how many episodes ended since the last row",
    "seconds": "seconds of training so far, without compiling and evaluating",
    "steps_per_second": "environment steps a second since the last row, of all members together",
    "eval_return": "return per agent in evaluation episodes, likeliest actions; of rival teams "
    "also `eval_return/<team>`",
    "eval_return_sampled": "the same with actions drawn as in training",
}
"""Of every run. Evaluations also report each metric of the environment as `eval_<metric>`."""

MEANINGS = {
    "actor_loss": "minus what the critics say of the policies' actions, in units of returns; of "
    "soft actor-critics less the temperature times the entropy",
    "alpha": "temperature: what a nat of entropy is worth, in units of returns",
    "central_loss": "error of the free joint value, squared or as `loss` says",
    "central_q_mean": "mean free joint value of the actions that were taken, in units of returns",
    "critic_loss": "squared error of the critics, summed over twins, in squared units of returns",
    "critic_mixer_loss": "squared error of the team's mixed value, summed over twins, in squared "
    "units of returns",
    "entropy": "entropy of the policies, mean over agents that act, in nats",
    "epsilon": "share of actions that are random",
    "error": "mean size of the tables' errors, in units of returns",
    "fitness_max": "fitness of the best member: rewards of its rollout over the episodes that "
    "ended in it, per agent",
    "fitness_mean": "the same, mean over members",
    "fitness_std": "the same, standard deviation over members",
    "grad_norm": "norm of the gradient before it is clipped, root mean square over groups that "
    "share parameters",
    "kl": "divergence of the policies learned from the policies that acted, in nats; after a "
    "natural step that of the group that moved most",
    "kl_weight": "weight of the divergence in the penalty surrogate",
    "line_search": "share of the natural step that the line search took; 0 where no try would do",
    "log_alpha_loss": "temperature times the entropy that is too much, in units of returns",
    "loss": "what gradient steps minimise, all terms with their weights",
    "mean_weight": "mean weight of the monotonic value's errors, from `alpha` to 1",
    "monotonic_loss": "weighted error of the monotonic value, squared or as `loss` says",
    "nopt_loss": "by how much the shifted sum of the agents' values lies below the joint value, as "
    "`loss` says",
    "novelty_mean": "mean distance of the members' behaviours to their nearest in the archive",
    "opt_loss": "how far the shifted sum is from the joint value at the agents' best actions, as "
    "`loss` says",
    "policy_gain": "by how much a natural step raised the surrogate, in units of advantages",
    "policy_loss": "minus the surrogate that the policies climb, in units of advantages",
    "q_mean": "mean value of the actions that were taken, in units of returns",
    "sigma": "width of the search: standard deviation of the parameters, mean over the search",
    "skipped_in_a_row": "updates in a row that were skipped because a gradient was not finite, the "
    "worst group's; ten end the run",
    "skipped_updates": "updates that were skipped for that in all, the worst group's",
    "states": "distinct observations in the fullest agent's table",
    "td_loss": "error of the joint value, as `loss` says",
    "temperature": "temperature of the softmax that actions are drawn from, in units of returns",
    "unknown_states": "share of steps in a state for which the table had no room",
    "value_loss": "squared error of the critic, halved except in coma, in squared units of what it "
    "learns (scaled returns)",
} | {f"{name}_grad_norm": f"norm of the gradient of {what}" for name, what in _NETWORKS.items()}
"""Of learners: means over the updates since the last row, but the last values of `skipped_...`."""


def logged(name: str) -> list[str]:
    """The metrics that the learner of a registered algorithm reports with its preset, found by
    tracing an update: in a matrix game, or in a particle world if it needs numbers as actions."""
    env, continuous = registry.make("coop/climbing"), False
    try:
        registry.make_algorithm(name).check(env.spec)
    except UserError:
        env, continuous = registry.make("mpe/simple", continuous_actions=True), True
    settings = presets.resolve(name, env.spec.name, continuous)
    algorithm = registry.make_algorithm(name, **from_fields(settings["algo"]))
    target = registry.ALGORITHMS[name].learner
    sizes = settings["num_envs"], settings["unroll"]
    learner = make_learner(algorithm, env, *sizes, target=target)
    state = jax.eval_shape(learner.init, jax.random.key(0))
    found = jax.eval_shape(learner.update, state)[1]
    return [n for n in found if n != "episodes" and not n.endswith("_sum")]
