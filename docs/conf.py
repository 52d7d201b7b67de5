"""Sphinx configuration: MyST pages, and an API reference read from the docstrings."""

import re
from importlib.metadata import version as installed_version

project = "Shoal"
author = "The Shoal authors"
copyright = "The Shoal authors"
release = version = installed_version("shoal")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
]
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
exclude_patterns = ["_build/html"]  # generated API pages lie in _build/api
templates_path = ["_templates"]
nitpicky = False

autosummary_generate = True
autodoc_member_order = "bysource"
# A package's names are documented where they are defined.
autodoc_default_options = {"ignore-module-all": True}
autodoc_typehints = "signature"
add_module_names = False
default_role = "code"
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = "Shoal"


def _as_rst(app, what, name, obj, options, lines):
    """Docstrings are written like the pages: $formulas$, and `code` in single backticks. What a
    module's docstring indents, or sets in columns, is shown as it stands."""
    text = "\n".join(_displayed(lines) if what == "module" else lines)
    text = re.sub(r"(?<![`:\w])`([^`\n]+)`(?=(\w?))", _code, text)
    text = re.sub(r"\$\$(.+?)\$\$", _display, text, flags=re.DOTALL)
    text = re.sub(r"(?<![\w`])\$([^$\n]+)\$", r":math:`\1`", text)
    lines[:] = text.split("\n")


def _displayed(lines: list[str]) -> list[str]:
    out: list[str] = []
    inside = False
    for line in lines:
        shown = bool(re.match(r"    |\S.*\S   ", line))
        if shown and not inside:
            out += ["", "::", ""]
        elif inside and line and not shown:
            out.append("")
        inside = shown or (inside and not line)
        out.append(f"    {line}" if shown else line)
    return out


def _code(match: re.Match) -> str:
    return f"``{match[1]}``" + ("\\ " if match[2] else "")


def _display(match: re.Match) -> str:
    body = " ".join(match.group(1).split())
    return f"\n\n.. math:: {body}\n\n"


def _short_types(app, what, name, obj, options, signature, returns):
    """`Float[Array, 'T N']`, as it stands in the source."""
    return tuple(s and s.replace("jaxlib._jax.Array", "Array") for s in (signature, returns))


def setup(app):
    """Docstrings are rewritten before napoleon reads their sections."""
    app.connect("autodoc-process-docstring", _as_rst, priority=100)
    app.connect("autodoc-process-signature", _short_types)
