"""The verbs of the `shoal` command, and what `shoal VERB --help` says of each."""

from typing import NamedTuple

_ALGORITHM = ("ALGORITHM", "a name from `shoal list algorithms`, or FILE.py:CLASS of your own")
_ENVIRONMENT = (
    "ENVIRONMENT",
    "a name from `shoal list environments`, SUITE:NAME of another library (`shoal list suites`), "
    "or FILE.py:NAME of your own",
)
_RUN = ("DIR", "the directory of a run, which `shoal train` names at its end")
_ALGO_FIELD = ("--algo.FIELD V", "Any hyper-parameter of the algorithm")
_ENV_FIELD = ("--env.FIELD V", "Any field of the environment")
_THEIR_FIELDS = (
    "Add an algorithm and an environment to see their fields, and every option with the value that "
    "it has there: shoal {verb} mappo mpe/simple_spread --help"
)
_ALL = "Add {names} to see every option: shoal {verb} {example} --help"
_EVERY_DIR = _ALL.format(verb="{verb}", names="a DIR", example="runs/spread")


class Verb(NamedTuple):
    """What is said of a verb."""

    summary: str  # in the list of all verbs
    about: str  # what it does, in two lines
    names: tuple[tuple[str, str], ...]  # what stands before the options, and what that may be
    classes: tuple[str, ...]  # those of its options, `module:Class`
    options: tuple[str, ...]  # the common ones
    examples: tuple[str, str, str]
    more: tuple[tuple[str, str], ...] = ()  # options that belong to no class, with their meanings
    hint: str = ""  # how to see the rest


VERBS = {
    "train": Verb(
        "train an algorithm in an environment",
        "Trains an algorithm in an environment, evaluates it, and draws its curve and a replay. "
        "All goes into one directory. Ctrl-C saves and leaves; `shoal resume DIR` goes on.",
        (_ALGORITHM, _ENVIRONMENT),
        ("shoal.cli.train:Train",),
        (
            *("--steps", "--seed", "--seeds", "--out", "--preset", "--num-envs", "--evaluations"),
            *("--eval-episodes", "--track", "--pictures", "--open"),
        ),
        (
            "shoal train mappo mpe/simple_spread --steps 1_000_000 --out runs/spread",
            "shoal train ippo gymnasium:CartPole-v1 --seeds 3",
            "shoal train vdn mpe/simple_spread --env.num-agents 5 --algo.learning-rate 1e-4,3e-4",
        ),
        (
            (
                "--algo.FIELD V",
                "Any hyper-parameter; several values with commas between them are a sweep",
            ),
            _ENV_FIELD,
        ),
        _THEIR_FIELDS,
    ),
    "resume": Verb(
        "continue an interrupted run",
        "Continues a run from its last checkpoint, as if it had never been interrupted. "
        "A finished run goes on to a later end with --steps.",
        (_RUN,),
        ("shoal.cli.resume:Options",),
        ("--steps", "--pictures", "--track"),
        (
            "shoal resume runs/spread",
            "shoal resume runs/spread --steps 5_000_000",
            "shoal resume runs/spread --pictures False",
        ),
        hint=_EVERY_DIR,
    ),
    "eval": Verb(
        "evaluate a run's policy",
        "Plays fresh episodes with a run's policy, and prints its return and the environment's "
        "metrics, each with a 95 % interval.",
        (
            (
                "DIR",
                "the directory of a run; or `random ENVIRONMENT`, `scripted ENVIRONMENT`: what "
                "chance and a hand-written controller get",
            ),
        ),
        ("shoal.cli.eval:Options",),
        ("--episodes", "--seed", "--greedy", "--best", "--member", "--json"),
        (
            "shoal eval runs/spread --episodes 1000",
            "shoal eval scripted mpe/simple_spread",
            "shoal eval runs/spread --env.num-agents 5 --json",
        ),
        (_ENV_FIELD,),
        _EVERY_DIR,
    ),
    "render": Verb(
        "make a replay: html, gif or mp4",
        "Plays a few episodes with a run's policy and draws them: a page with controls, or a "
        "video. A heat map shows where its agents go over many episodes.",
        (_RUN,),
        ("shoal.cli.render:Options",),
        ("--format", "--episodes", "--seed", "--best", "--out", "--open"),
        (
            "shoal render runs/spread --open",
            "shoal render runs/spread --format gif --episodes 2",
            "shoal render runs/spread --format heat-map",
        ),
        (_ENV_FIELD,),
        _EVERY_DIR,
    ),
    "compare": Verb(
        "compare finished runs",
        "Puts runs side by side: scores with 95 % intervals over seeds, how probably one algorithm "
        "beats another, curves, and the settings that differ.",
        (("DIR...", "the directories of two runs or more, or of one sweep"),),
        ("shoal.cli.compare:Options",),
        ("--at-steps", "--reference", "--marl-eval", "--json"),
        (
            "shoal compare runs/mappo runs/ippo",
            "shoal compare runs/mappo runs/ippo --at-steps 500_000",
            "shoal compare runs/sweep --json",
        ),
        hint=_EVERY_DIR,
    ),
    "report": Verb(
        "write one HTML page on some runs",
        "Writes one self-contained HTML page on some runs: scores, curves, settings, machines, "
        "replays, and the commands that make the runs again.",
        (("DIR...", "the directories of one run or more"),),
        ("shoal.cli.report:Options",),
        ("--out", "--title", "--at-steps", "--reference", "--replays"),
        (
            "shoal report runs/spread",
            "shoal report runs/mappo runs/ippo --out comparison.html",
            "shoal report runs/mappo runs/ippo --replays False",
        ),
        hint=_EVERY_DIR,
    ),
    "track": Verb(
        "send a run's rows to wandb, mlflow or trackio",
        "Sends the metrics of a run, from the first row on, to an experiment tracker: "
        "those of a finished run at once, those of a running one as they come.",
        (_RUN,),
        ("shoal.cli.track:Options",),
        ("--to", "--follow"),
        (
            "shoal track runs/spread --to wandb",
            "shoal track runs/spread --to mlflow,trackio",
            "shoal track runs/spread --to trackio --follow",
        ),
    ),
    "tune": Verb(
        "search hyper-parameters, and write what was found as a preset",
        "Searches an algorithm's hyper-parameters in an environment, and writes what it found as "
        "a preset. The same command with the same --out goes on with a study that was stopped.",
        (_ALGORITHM, _ENVIRONMENT),
        ("shoal.cli.tune:Tune",),
        (
            *("--trials", "--steps", "--search", "--seeds", "--metric", "--workers", "--timeout"),
            "--out",
        ),
        (
            "shoal tune ippo mpe/simple --trials 20 --steps 100_000",
            "shoal tune ippo mpe/simple --search learning_rate=1e-4:1e-2 --search clip=0.1,0.2",
            "shoal tune vdn mpe/simple_spread --metric success --out runs/study",
        ),
        (_ALGO_FIELD, _ENV_FIELD),
        _THEIR_FIELDS,
    ),
    "export": Verb(
        "write a run's policy as ONNX or StableHLO, with a card",
        "Writes a run's policy as one file that runs without Shoal, and a card that says what it "
        "takes, what it gives, and how good it is.",
        (_RUN,),
        ("shoal.cli.export:Options",),
        ("--format", "--agent", "--best", "--out", "--force"),
        (
            "shoal export runs/spread",
            "shoal export runs/spread --agent agent_0 --out agent.onnx",
            "shoal export runs/spread --format stablehlo",
        ),
        hint=_EVERY_DIR,
    ),
    "new": Verb(
        "write an environment or an algorithm to start from",
        "Writes NAME.py, a small example that works as it is, to be made one's own, and its test "
        "into the current folder. What it then says checks, trains and tests it.",
        (
            ("KIND", "environment or algorithm"),
            ("NAME", "the file's name: small letters, digits and underscores"),
        ),
        (),
        (),
        (
            "shoal new environment pond",
            "shoal new algorithm my_reinforce",
            "shoal new environment two_doors",
        ),
    ),
    "check": Verb(
        "check a world of your own, and say how to mend it",
        "Plays an environment and checks what learners rely on: shapes, masks, ends of episodes, "
        "the same numbers from the same seed. What is wrong is told with how to mend it.",
        (
            (
                "ENVIRONMENT",
                "FILE.py:NAME or MODULE:NAME of your own, or any name that `train` takes",
            ),
        ),
        ("shoal.cli.check:Options",),
        ("--episodes", "--seed", "--json"),
        (
            "shoal check pond.py:Pond",
            "shoal check mpe/simple_spread --env.num-agents 5",
            "shoal check gymnasium:CartPole-v1 --json",
        ),
        (_ENV_FIELD,),
        _ALL.format(verb="{verb}", names="an environment", example="mpe/simple"),
    ),
    "list": Verb(
        "list algorithms, environments, suites, games or presets",
        "Lists the names that other verbs take, with a line on each. Environments of another "
        "library are listed where it is installed.",
        (
            ("KIND", "algorithms, environments, suites, games or presets"),
            ("[NAME]", "the suite whose environments, or the algorithm whose presets, to list"),
        ),
        ("shoal.cli.list:Options",),
        ("--json",),
        (
            "shoal list algorithms",
            "shoal list environments gymnasium",
            "shoal list presets mappo --json",
        ),
    ),
    "info": Verb(
        "show what is known of an algorithm or environment",
        "Shows the fields of an algorithm or an environment with their meanings, or, of both "
        "together, the values that a training would have and where each comes from.",
        (
            ("[NAME]", "an algorithm or an environment; without it algorithms are listed"),
            ("[ENVIRONMENT]", "behind an algorithm: where it is to be trained"),
        ),
        ("shoal.cli.info:Options",),
        ("--json",),
        (
            "shoal info mappo",
            "shoal info mpe/simple_spread",
            "shoal info mappo mpe/simple_spread --json",
        ),
    ),
    "bench": Verb(
        "measure speed",
        "Measures how fast this machine steps an environment, trains in it, or lets its devices "
        "exchange numbers. Compile time is told apart.",
        (
            ("KIND", "env, train or collectives"),
            ("NAME", "behind env an environment; behind train an algorithm and an environment"),
        ),
        ("shoal.cli.bench:Training", "shoal.cli.bench:Collectives"),
        ("--num-envs", "--seconds", "--devices", "--processes", "--size", "--json"),
        (
            "shoal bench env mpe/simple_spread --num-envs 4096",
            "shoal bench train mappo mpe/simple_spread",
            "shoal bench collectives --processes 2",
        ),
        (_ALGO_FIELD, _ENV_FIELD),
        _ALL.format(verb="{verb}", names="those", example="train mappo mpe/simple_spread"),
    ),
    "solve": Verb(
        "solve a game: equilibria and more, certified",
        "Solves a game and prints its payoffs, all answers of a concept, and what certifies each. "
        "Pictures show best responses, correlated payoffs and the Pareto front, or the tree.",
        (
            (
                "GAME",
                'a name from `shoal list games`, perhaps with arguments, "kuhn(players=3)"; a '
                "Gambit file; open_spiel:NAME; or payoffs, "
                '"1 -1; -1 1" (zero sum) or "3,3 0,5; 5,0 1,1"',
            ),
        ),
        ("shoal.cli.solve:Options",),
        ("--concept", "--exact", "--pictures", "--json"),
        (
            "shoal solve chicken --exact",
            "shoal solve kuhn --concept cfr --iterations 2000",
            'shoal solve "3,3 0,5; 5,0 1,1" --concept correlated --pictures pictures',
        ),
        hint=_ALL.format(verb="{verb}", names="a game", example="chicken"),
    ),
}
