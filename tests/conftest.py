"""Two CPU devices; programs that compile fast rather than run fast; declared shapes checked."""

import gc
import os
from pathlib import Path

# Tests run small programs briefly, so that compiling dominates: this makes it four times faster.
os.environ["XLA_FLAGS"] = " ".join(
    (
        os.environ.get("XLA_FLAGS", ""),
        "--xla_backend_optimization_level=0",
        "--xla_cpu_use_fusion_emitters=false",
        "--xla_cpu_parallel_codegen_split_count=1",
    )
)

# Whoever compiles the same again, here, in a process started here or the next time, finds it made.
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(Path(__file__).parents[1] / ".pytest_cache" / "jax")
os.environ["JAX_COMPILATION_CACHE_MAX_SIZE"] = str(1 << 30)  # bytes
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.05"
os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"

import jax
import jaxtyping
import pytest

NO_SKIPS = bool(os.environ.get("SHOAL_NO_SKIPS"))  # where everything is installed

jax.config.update("jax_num_cpu_devices", 2)
jaxtyping.install_import_hook("shoal", "beartype.beartype")
gc.freeze()
gc.set_threshold(50_000, 20, 20)  # tracing makes millions of objects that live


@pytest.fixture(autouse=True, scope="module")
def free_programs():
    """Forgets compiled programs: each holds memory maps, of which Linux gives a process 65,530, and
    what comes after them is a crash."""
    yield
    jax.clear_caches()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    return _skipped_is_failed((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report():
    return _skipped_is_failed((yield))


def _skipped_is_failed(report):
    if NO_SKIPS and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
    return report
