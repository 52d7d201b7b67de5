"""One page on which an episode of every environment plays."""

from itertools import groupby

from generate.environments import SUITES, file_name


def page(names: list[str]) -> str:
    """The environments by suite: moments of each, which make room for its replay at a click."""
    parts = ["# Gallery", "An episode of each environment, by hand or at random: open it to play."]
    for suite, own in groupby(names, lambda name: name.partition("/")[0]):
        parts += [f"## {SUITES[suite]}", *map(_card, own)]
    return "\n\n".join(parts) + "\n"


def _card(name: str) -> str:
    file = file_name(name)
    lines = (
        f"### [{name}](environments/{file}.md)\n",
        '<details class="episode"><summary>',
        f'<img src="replays/{file}.png" alt="Moments of an episode of {name}" loading="lazy">',
        "<span>play</span></summary>",
        f'<iframe src="replays/{file}.html" title="An episode of {name}" loading="lazy"></iframe>',
        "</details>",
    )
    return "\n".join(lines)
