"""What the verbs that train have in common: the final scores, and pictures."""

from typing import Any

from shoal.cli import sweep
from shoal.core.errors import UserError


def finish(run: Any, pictures: bool | None = None) -> None:
    """Prints the final evaluation and makes the pictures of a finished run, if they are asked for
    here or, where nothing is said, were when it was started."""
    if run.config.sweep:
        sweep.print_table(run.config, run.evaluation["members"], run.config.eval_episodes)
        print(run.directory)
    else:
        print(
            f"return per agent {_scores(run)} over {run.config.eval_episodes} episodes, "
            f"{run.config.seeds} seeds · {run.directory}"
        )
    if run.config.pictures if pictures is None else pictures:
        if any(row["return"] is not None for row in run.metrics):
            run.save_curve()
        which = f" ({sweep.describe_member(run.config, 0)})" if run.config.sweep else ""
        try:
            print(f"watch it: {run.save_replay()}{which}")
        except UserError as error:  # worlds of others need not be able to draw themselves
            print(f"no replay: {error}")


def _scores(run: Any) -> str:
    """The final score with its interval; of rivals that of each team."""
    from shoal.core.teams import return_names

    report, teams = run.evaluation, return_names(run.env.spec)[1:]
    found = {f"of {name.split('/')[1]} ": report["metrics"][name] for name in teams}
    return " · ".join(
        f"{who}{score['mean']:.2f} [{score['low']:.2f}, {score['high']:.2f}]"
        for who, score in (found or {"": report["return"]}).items()
    )
