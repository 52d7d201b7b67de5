"""What agents of a host environment see and may do, as the few arrays that a `HostEnv` shows."""

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from shoal.core.errors import UserError
from shoal.envs.host.actions import Actions
from shoal.envs.host.draws import Draws
from shoal.envs.host.env import HostSpec, HostStep, Image
from shoal.envs.host.spaces import MASK, Part, parts, say_what_is_no_image, split_mask
from shoal.envs.host.views import View

ACTIVE = "active"  # in an info: `False` where an agent lives and is not to act


class AgentLayout:
    """All agents of a world: `see` writes down what one of them is shown, `shown` gives it all.

    Attributes that games set: `reward`, `terminated`, `truncated`, `active`, all `[N]`, and
    `masked`.

    Raises:
        UserError: a space is not supported, or agents see images of different shapes.
    """

    def __init__(
        self,
        agents: Sequence[Hashable],
        observations: Sequence[Any],
        actions: Sequence[Any],
        view: View,
    ):
        self.draws = Draws((*observations, *actions))
        self.names = tuple(str(agent) for agent in agents)
        self.index = {agent: i for i, agent in enumerate(agents)}
        self.act = Actions(self.names, actions)
        self.eyes = [
            ObservationEncoder(name, space, view) for name, space in zip(self.names, observations)
        ]
        for name, space in zip(self.names, observations):
            say_what_is_no_image(space, name)
        self.images = _common_images(self.names, self.eyes)
        self.roles = _roles(observations, actions)
        # Spaces do not tell who is on whose side; names do, in the worlds that have adversaries.
        self.teams = tuple(int(name.startswith(("adversary", "enemy"))) for name in self.names)
        self.masked = self.act.discrete and any(eyes.masks for eyes in self.eyes)
        pixels = sum(height * width * channels for height, width, channels in self.images)
        self.sizes = tuple(pixels + eyes.numbers for eyes in self.eyes)
        self.obs = np.zeros((len(agents), max(self.sizes)), np.float32)
        for row, eyes in zip(self.obs, self.eyes):
            eyes.look_into(row, pixels)
        self.exists = np.arange(max(self.act.sizes)) < np.array(self.act.sizes)[:, None]
        self.mask = self.exists.copy()
        self.idle = np.arange(self.exists.shape[1]) == 0
        self.begin()

    def begin(self, seed: int | None = None) -> None:
        """Before an episode, all of whose draws follow from the seed: nobody has appeared yet, and
        counts as terminated until then."""
        if seed is not None:
            self.draws.seed(int(seed))
        count = len(self.names)
        self.obs[:] = 0
        self.reward = np.zeros(count, np.float32)
        self.terminated, self.truncated = np.ones(count, bool), np.zeros(count, bool)
        self.active = np.zeros(count, bool)
        for eyes in self.eyes:
            eyes.fresh = True

    def index_of(self, agent: Hashable) -> int:
        """An agent's place in every array.

        Raises:
            UserError: the world had not named it before.
        """
        if agent not in self.index:
            raise UserError(f"{agent} has appeared, which is none of the possible_agents")
        return self.index[agent]

    def notice(self, infos: Sequence[Any]) -> None:
        """Learns from an episode's first infos whether the world names legal actions."""
        given = any(MASK in (info or {}) for info in infos)
        self.masked = self.act.discrete and (self.masked or given)

    def pay(self, agent: Hashable, reward: Any) -> None:
        """An agent's reward of this step.

        Raises:
            UserError: it is not one number.
        """
        i = self.index_of(agent)
        try:
            self.reward[i] = reward
        except (TypeError, ValueError):
            numbers = np.asarray(reward)
            if numbers.dtype.kind not in "biuf" or numbers.size != 1:
                what = f"has shape {numbers.shape}" if numbers.size != 1 else f"is {reward!r}"
                raise UserError(f"reward of {self.names[i]} {what}, expected one number") from None
            self.reward[i] = numbers.item()

    def see(self, i: int, observation: Any, info: Any) -> bool:
        """Agent `i` sees this. Whether it may do anything, so far as its info and its mask say."""
        eyes, info = self.eyes[i], info or {}
        eyes.encode(observation)
        told = info.get(ACTIVE, True)
        able = not isinstance(told, bool | np.bool_) or bool(told)
        if not self.masked:
            if self.act.discrete and MASK in info:
                raise UserError(
                    f"{self.names[i]} has an {MASK} in its info, and nobody had one at the first "
                    "reset: give it from there on, also for agents that come later"
                )
            return able
        given = observation[MASK] if eyes.masks else info.get(MASK)
        if given is None:
            self.mask[i] = self.exists[i]
            return able
        legal = self.act.legal(i, given)
        self.mask[i, : legal.size] = legal
        return able and bool(legal.any())

    def shown(self, state: np.ndarray | None = None) -> HostStep:
        """What the game shows now. Who may do nothing has one legal action, which does nothing; who
        was cut keeps those of its last observation, from which it is valued."""
        mask = None
        if self.masked:
            able = (self.active | self.truncated) & self.mask.any(axis=1)
            mask = np.where(able[:, None], self.mask, self.idle)
        ends = self.terminated, self.truncated
        return HostStep(self.obs, self.reward, *ends, self.active, mask, state)

    def facts(self, state_size: int = 0, limit: int = 0) -> HostSpec:
        """What is known of the world before it runs."""
        return HostSpec(
            agents=self.names,
            roles=self.roles,
            obs_sizes=self.sizes,
            images=self.images,
            discrete=self.act.discrete,
            action_sizes=self.act.sizes,
            low=self.act.low,
            high=self.act.high,
            state_size=state_size,
            masked=self.masked,
            teams=self.teams,
            limit=limit,
        )


class ObservationEncoder:
    """What one agent sees: its images and then its numbers, written into its row of an array."""

    def __init__(self, name: str, space: Any, view: View):
        space, self.masks = split_mask(space)
        every = list(parts(space, name))
        self.view = view
        self.image_parts = [part for part in every if part.image]
        self.number_parts = [part for part in every if not part.image]
        self.width = sum(part.size for part in self.number_parts)
        self.numbers = self.width * view.frame_stack
        self.images = tuple(self._stacked(part) for part in self.image_parts)
        self.deep, self.fresh = view.frame_stack > 1, True

    def _stacked(self, part: Part) -> Image:
        height, width, channels = self.view.shape(part.image)
        return height, width, channels * self.view.frame_stack

    def look_into(self, row: np.ndarray, pixels: int) -> None:
        """Takes views of a row, whose numbers begin after `pixels`, with an axis for frames."""
        depth, start = self.view.frame_stack, 0
        self.pictures = []
        for part, (height, width, channels) in zip(self.image_parts, self.images):
            size = height * width * channels
            shape = (height, width, depth, channels // depth)
            self.pictures.append((part, row[start : start + size].reshape(shape)))
            start += size
        self.history = row[pixels : pixels + self.numbers].reshape(depth, self.width)
        self.slots, start = [], 0
        for part in self.number_parts:
            self.slots.append((part, self.history[-1, start : start + part.size]))
            start += part.size

    def encode(self, observation: Any) -> None:
        """Writes down what is seen now; older frames move to the front."""
        if self.deep:
            self.history[:-1] = self.history[1:]
        for part, slot in self.slots:
            part.write(part.of(observation) if part.path else observation, slot)  # pyright: ignore
        for part, picture in self.pictures:
            if self.deep:
                picture[:, :, :-1] = picture[:, :, 1:]
            picture[:, :, -1] = self.view.image(part.of(observation))
        if self.deep and self.fresh:
            self._repeat_newest()
        self.fresh = False

    def _repeat_newest(self) -> None:
        self.history[:-1] = self.history[-1]
        for _, picture in self.pictures:
            picture[:, :, :-1] = picture[:, :, -1:]


def _roles(observations: Sequence[Any], actions: Sequence[Any]) -> tuple[int, ...]:
    """Agents of one role have equal spaces; roles are numbered as they appear."""
    kinds: list[tuple[Any, Any]] = []
    roles = []
    for pair in zip(observations, actions):
        if pair not in kinds:
            kinds.append(pair)
        roles.append(kinds.index(pair))
    return tuple(roles)


def _common_images(names: Sequence[str], eyes: Sequence[ObservationEncoder]) -> tuple[Image, ...]:
    seeing = {name: each.images for name, each in zip(names, eyes) if each.images}
    if len(set(seeing.values())) > 1:
        first, images = next(iter(seeing.items()))
        other = next(name for name in seeing if seeing[name] != images)
        raise UserError(
            f"agents see images of different shapes, {first} {_shapes(images)} and {other} "
            f"{_shapes(seeing[other])}: image_size=84 makes sizes alike, grayscale=True colours"
        )
    return next(iter(seeing.values()), ())


def _shapes(images: tuple[Image, ...]) -> str:
    return " and ".join("x".join(map(str, image)) for image in images)


def unpacked(made: Any, which: str, expected: str) -> Any:
    """What `which`, a method of a world, returned: as many things as the interface says.

    Raises:
        UserError: there are more or fewer, as in an older interface.

    >>> unpacked((1, {}), "reset", "observation, info")
    (1, {})
    """
    if isinstance(made, tuple | list) and len(made) == expected.count(",") + 1:
        return made
    gives = f"{len(made)} values" if isinstance(made, tuple | list) else f"a {type(made).__name__}"
    raise UserError(f"{which} returns {gives}, expected {expected}")
