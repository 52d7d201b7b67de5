"""Environments of suites that are written in JAX, stepped inside the compiled program."""
