"""A world of Gymnasium's or PettingZoo's on trial, in a process of its own.

Their own checks of the interface, `check_env`, `api_test` and `parallel_api_test`, are run as they
are; what they do not see, such as an episode that its seed does not decide, is looked for in
episodes that are played here. Before each call of the world the one that waits is told of it, so
that it can say where the world hung or ended its process.
"""

import contextlib
import functools
import io
import json
import pickle
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from shoal.core.errors import UserError
from shoal.envs.check import host_play
from shoal.envs.check.finding import Finding, error, raised, warning
from shoal.envs.host import shared
from shoal.envs.host.aec import AECHostEnv
from shoal.envs.host.building import Limited
from shoal.envs.host.env import HostEnv, HostSpec, HostStep
from shoal.envs.host.order import Reordered, in_order_of
from shoal.envs.host.parallel import ParallelHostEnv
from shoal.envs.host.single_agent import GymnasiumHostEnv
from shoal.envs.host.spaces import NO_IMAGE
from shoal.envs.host.worker import settle

HOST_CHECKS = {  # in the order in which they are made
    "spec": "it can be made, and says who acts, what they see and what they may do",
    "play": "episodes can be played",
    "spaces": "observations lie in their space: type, shape and bounds",
    "numbers": "observations and rewards are finite",
    "end": "someone is due to act until the episode ends, and it ends",
    "reward": "rewards differ",
    "seed": "the same seed and actions give the same episode",
    "draw": "pictures can be drawn",
    "api": "the interface passes Gymnasium's or PettingZoo's own check",
}
CYCLES = 100  # of PettingZoo's checks
MAKE = "its constructor"
AT, FOUND, SKIPPED, DONE = "at", "found", "skipped", "done"  # what a trial says
MEND = {
    "play": "run the world by itself with these actions and mend the line that raises",
    "seed": "play two episodes, and one in a second world, and mend the line that raises",
    "draw": "call render by itself after a reset, or make it without a render_mode",
    "api": "call it by itself: it says more; what Shoal cannot cope with is an error above",
}
Say = Callable[[str, Any], None]


class Job(NamedTuple):
    """What is to be tried."""

    make: Callable[..., HostEnv]
    facts: HostSpec
    endless: bool  # whether no horizon was given
    episodes: int
    seed: int


def broken(check: str, seen: str, **place: Any) -> Finding:
    """The finding that a check came to no end. Their own checks ask for more than Shoal does."""
    kind = warning if check == "api" else error
    return kind(check, seen, HOST_CHECKS[check], MEND[check], **place)


class Watched(HostEnv):
    """A game that says what it is asked for before it answers."""

    def __init__(self, game: HostEnv, at: Callable[..., None]):
        self.game, self.facts, self._at = game, game.facts, at
        self._seed, self._step = 0, 0

    def reset(self, seed: int) -> HostStep:
        self._seed, self._step = seed, 0
        self._at("reset", 0, seed)
        return self.game.reset(seed)

    def step(self, action: np.ndarray) -> HostStep:
        self._step += 1
        self._at("step", self._step, self._seed)
        return self.game.step(action)

    def render(self) -> np.ndarray:
        self._at("render")
        return self.game.render()

    def close(self) -> None:
        self._at("close")
        with contextlib.suppress(Exception):  # what it raises no longer matters
            self.game.close()


class Trial:
    """One world's trial; what it finds goes to `say` at once."""

    def __init__(self, job: Job, say: Say):
        self._job, self._say, self._check = job, say, "play"
        self._games: list[Watched] = []  # which are closed at the end

    def run(self) -> None:
        """Makes all checks."""
        with self._checking("play", "spaces", "numbers", "end", "reward", "seed", "draw"):
            self._play(self._made(drawn=True))
        with self._checking("api"):
            self._own_check(self._made())
        with self._checking("api"):
            for game in self._games:
                game.close()
        self._say(DONE, None)

    @contextlib.contextmanager
    def _checking(self, check: str, *with_it: str) -> Iterator[None]:
        """Within it, what the world raises is found by this check, or by the one in it that has
        begun; those that come with it are not made then."""
        self._check = check
        try:
            yield
        except KeyboardInterrupt:
            raise
        except BaseException as problem:  # also what a world's sys.exit raises
            self._found(broken(self._check, f"it raises {raised(problem)}"))
            left = [*HOST_CHECKS][[*HOST_CHECKS].index(self._check) :]
            self._say(SKIPPED, {c: "an error came before it" for c in with_it if c in left})

    def _play(self, game: Watched) -> None:
        """Plays episodes, and looks at what they show."""
        job, outside = self._job, []
        host_play.watch(_inner(game), outside)
        try:
            played = list(host_play.play_all(game, job.episodes, job.seed))
        finally:
            self._found(*outside[:1])
        self._found(
            *host_play.check_numbers(job.facts.agents, played),
            *host_play.check_end(job.endless, played),
            *host_play.check_reward(played),
        )
        self._check = "seed"
        self._found(*host_play.check_seed(game, self._made(drawn=True), played[0]))
        self._check = "draw"
        try:
            game.render()
        except UserError as problem:
            self._say(SKIPPED, {"draw": str(problem)})

    def _own_check(self, game: Watched) -> None:
        """What Gymnasium and PettingZoo say of their interface."""
        inner = _inner(game)
        name, check = _OWN[type(inner)]
        for env in (inner.env, getattr(inner.env, "unwrapped", inner.env)):
            for call in ("reset", "step"):
                with contextlib.suppress(AttributeError):  # then it is watched as a whole
                    setattr(env, call, self._told(getattr(env, call), f"{call} in {name}"))
        try:
            with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                check(inner.env)
        except Exception as problem:
            self._found(broken("api", f"{name} raises {raised(problem)}"))

    def _made(self, **how: Any) -> Watched:
        self._at(MAKE)
        game = Watched(in_order_of(self._job.facts, self._job.make(**how)), self._at)
        self._games.append(game)
        return game

    def _told(self, call: Callable[..., Any], name: str) -> Callable[..., Any]:
        @functools.wraps(call)
        def told(*values: Any, **named: Any) -> Any:
            self._at(name)
            return call(*values, **named)

        return told

    def _at(self, doing: str, step: int | None = None, seed: int | None = None) -> None:
        self._say(AT, [self._check, doing, step, seed])

    def _found(self, *findings: Finding) -> None:
        for finding in findings:
            self._say(FOUND, finding.to_json())


def _inner(game: Any) -> Any:
    """The game of a class of `_OWN`, without what is around it."""
    return _inner(game.game) if isinstance(game, Watched | Limited | Reordered) else game


def _gymnasium(env: Any) -> None:
    from gymnasium.utils.env_checker import check_env

    check_env(env.unwrapped, skip_render_check=True, skip_close_check=True)


def _parallel(env: Any) -> None:
    from pettingzoo.test import parallel_api_test

    parallel_api_test(env, CYCLES)


def _aec(env: Any) -> None:
    from pettingzoo.test import api_test

    api_test(env, CYCLES)


_OWN: dict[type, tuple[str, Callable[[Any], None]]] = {
    GymnasiumHostEnv: ("gymnasium.utils.env_checker.check_env", _gymnasium),
    ParallelHostEnv: ("pettingzoo.test.parallel_api_test", _parallel),
    AECHostEnv: ("pettingzoo.test.api_test", _aec),
}


def main(arguments: Sequence[str]) -> None:
    """Tries one world, given the descriptors of its channel and of a pipe that ends when its parent
    does."""
    channel = settle(*map(int, arguments))
    warnings.filterwarnings("ignore", message=NO_IMAGE)  # the parent has said it

    def say(kind: str, content: Any) -> None:
        shared.send_long(channel, json.dumps([kind, content]).encode())

    make, *rest = pickle.loads(shared.receive_long(channel))
    Trial(Job(pickle.loads(make), *rest), say).run()


if __name__ == "__main__":
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        main(sys.argv[1:])
