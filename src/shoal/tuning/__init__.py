"""Tuning of hyper-parameters with Optuna: `space`, `plan`, `study`, `worker`, `result`.

Akiba et al. 2019, Optuna, arXiv:1907.10902. `shoal tune` is the way in.
"""
