"""Two CPU devices, and every shape and type that `shoal` declares is checked when it is used."""

import jax
import jaxtyping

jax.config.update("jax_num_cpu_devices", 2)
jaxtyping.install_import_hook("shoal", "beartype.beartype")
