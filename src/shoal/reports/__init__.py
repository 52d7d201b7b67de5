"""Comparisons of runs, learning curves and pages."""
