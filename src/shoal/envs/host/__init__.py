"""Worlds that others wrote, stepped by worker processes. Nothing here but `world` imports JAX."""
