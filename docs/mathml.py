"""Formulas as MathML, which browsers draw themselves: no script, no font, no other host."""

import re
from typing import Any

from docutils.nodes import SkipNode
from latex2mathml.converter import convert

# What the converter knows by another name.
SPELLED = (
    (r"\{aligned\}", r"{split}"),
    (r"\\arg\\max", r"\\operatorname*{argmax}"),
    (r"(?<=\\texttt\{)([^}]*)", lambda match: match[1].replace(r"\_", "_")),
)


def mathml(formula: str, display: bool) -> str:
    r"""A formula as an element.

    Raises:
        ValueError: it has a command that the converter does not know.

    >>> "<msub>" in mathml(r"a_i", display=False)
    True
    """
    for pattern, spelled in SPELLED:
        formula = re.sub(pattern, spelled, formula)
    found = convert(formula, display="block" if display else "inline")
    text = re.sub(r"<[^>]*>", "", found)
    if left := re.findall(r"\\\w*|\$|&amp;|&(?![#\w]+;)", text):
        raise ValueError(f"{', '.join(left)} of {formula} has no MathML")
    return found


def _inline(self: Any, node: Any) -> None:
    self.body.append(mathml(node.astext(), display=False))
    raise SkipNode


def _display(self: Any, node: Any) -> None:
    self.body.append(f'<div class="math">{mathml(node.astext(), display=True)}</div>')
    raise SkipNode


def setup(app: Any) -> None:
    """Takes the place of `sphinx.ext.mathjax`."""
    app.add_html_math_renderer("mathml", (_inline, None), (_display, None))
