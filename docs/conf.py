"""Sphinx configuration: MyST pages, pages of all that the registry names, and an API reference read
from the docstrings."""

import os
import re
import sys
from importlib.metadata import version as installed_version
from pathlib import Path

from sphinx.errors import SphinxError

HERE = Path(__file__).parent
EXTRA = HERE / "_build" / "extra"  # episodes that play
EXTRA.mkdir(parents=True, exist_ok=True)
sys.path.insert(0, str(HERE))
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault(  # an episode of each environment: compiling takes longest
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false",
)

project = "Shoal"
author = "The Shoal authors"
copyright = "The Shoal authors"
release = version = installed_version("shoal")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "mathml",
]
html_math_renderer = "mathml"
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
exclude_patterns = ["_build/html"]  # generated API pages lie in _build/api
html_extra_path = [str(EXTRA)]
html_static_path = ["_static"]
html_css_files = ["pages.css"]
templates_path = ["_templates"]
highlight_language = "text"
nitpicky = False

autosummary_generate = True
autodoc_member_order = "bysource"
# A package's names are documented where they are defined.
autodoc_default_options = {"ignore-module-all": True}
autodoc_typehints = "signature"
add_module_names = False
default_role = "code"
napoleon_numpy_docstring = False
napoleon_custom_sections = [
    *("When to use it", "What breaks it", "Observation", "Actions", "Reward"),
    ("Metrics", "params_style"),
]

html_theme = "furo"
html_title = "Shoal"
html_copy_source = False


def _as_rst(app, what, name, obj, options, lines):
    """Docstrings are written like the pages: $formulas$, and `code` in single backticks. What a
    module's docstring indents, or sets in columns, is shown as it stands."""
    text = "\n".join(_displayed(lines) if what == "module" else lines)
    text = re.sub(r"(?<![`:\w])`([^`\n]+)`(?=(\w?))", _code, text)
    text = re.sub(r"\$\$(.+?)\$\$", _display, text, flags=re.DOTALL)
    text = re.sub(r"(?<![\w`])\$([^$\n]+)\$", r":math:`\1`", text)
    # Of an attribute napoleon takes what stands before a colon in the first line for its type.
    lines[:] = [*([""] if what == "attribute" else []), *text.split("\n")]


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


def _name_limits():
    """Types that say what a number may be have names: `Positive`, not what that is short for."""
    from generate.markdown import LIMITS
    from sphinx.util import typing

    spell = typing.stringify_annotation

    def short(annotation, *args, **kwargs):
        try:
            return LIMITS[annotation]
        except (KeyError, TypeError):  # not every annotation has a hash
            return spell(annotation, *args, **kwargs)

    for name, module in list(sys.modules.items()):
        if name.startswith("sphinx.") and vars(module).get("stringify_annotation") is spell:
            module.stringify_annotation = short


def _check(app, error):
    """Fails where a page needs another host, or spells out what a number may be."""
    if error or app.builder.name != "html":
        return
    from generate.hosts import loaded

    for file in (*Path(app.outdir).rglob("*.html"), *Path(app.outdir).rglob("*.css")):
        text = file.read_text()
        if found := loaded(text, file.suffix):
            raise SphinxError(f"{file} loads {', '.join(found)}")
        if "Limits(text" in text and "_modules" not in file.parts:
            raise SphinxError(f"{file} spells out a type of shoal.core.limits")


def _generate(app):
    import generate

    generate.write()


def _fold(app, name, template, context, doctree):
    """The sidebar opens the branch of its page alone: all others would be in each of the pages."""
    if whole := context.get("toctree"):
        context["toctree"] = lambda **kwargs: whole(**kwargs | {"collapse": True})


def _complete(app, name, source):
    """Pages of suites end with what follows from the code."""
    folder, _, suite = name.partition("/")
    if folder == "suites" and suite != "index":
        from generate import suites

        source[0] += "\n" + suites.end(suite)


def setup(app):
    """Docstrings are rewritten before napoleon reads their sections."""
    app.connect("builder-inited", _generate, priority=100)
    app.connect("html-page-context", _fold, priority=100)
    app.connect("source-read", _complete)
    app.connect("autodoc-process-docstring", _as_rst, priority=100)
    app.connect("autodoc-process-signature", _short_types)
    app.connect("build-finished", _check)
    _name_limits()
