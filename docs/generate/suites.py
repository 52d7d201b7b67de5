"""What follows from the code and from `benchmarks/` on the pages of other suites, whose text is
written by hand."""

from generate import results
from generate.markdown import fields, table
from shoal import registry
from shoal.training import presets

ONE_AGENT = ("gymnasium", "gymnax")  # suites whose environments go by the same names
SECTIONS = ("How to name one", "Install", "What you get", "Known to work", "Example")


def end(suite: str) -> str:
    """The end of a suite's page: its fields, presets and results."""
    found = results.of_suite(suite)
    parts = [_fields(suite), _presets(suite)]
    parts += [f"## Results\n\n{results.shown(found, but='')}"] if found else []
    return "\n\n".join(part for part in parts if part) + "\n"


def _fields(suite: str) -> str:
    world = registry.SUITES[suite].load()(task=f"{suite}:NAME")
    rows = [[f"`{f.name}`", f.kind, f.default, f.meaning] for f in fields(world)]
    return f"## Fields\n\nShoal's own, `--env.FIELD`.\n\n{_table(rows)}"


def _table(rows: list[list[str]]) -> str:
    return table(["field", "type", "default", "meaning"], [r for r in rows if r[0] != "`task`"])


def _presets(suite: str) -> str:
    rows = []
    for name in registry.ALGORITHMS:
        own = [world for world in presets.tables(name) if _is_of(suite, world)]
        if own:
            rows.append([f"[{name}](../algorithms/{name}.md)", ", ".join(f"`{w}`" for w in own)])
    return f"## Presets\n\n{table(['algorithm', 'for'], rows)}" if rows else ""


def _is_of(suite: str, world: str) -> bool:
    return world.startswith(f"{suite}:") or (suite in ONE_AGENT and world.startswith("*:"))
