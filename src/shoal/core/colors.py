"""Colours of every picture and page."""

PAPER, INK, SOFT, LINE = "#ffffff", "#1d2127", "#6a707b", "#e4e4de"
"""Background, text, text of less weight, rules."""

FLOOR, DOT = "#f8f8f5", "#d9d9d2"
"""The ground on which films show a world, and its dots."""

PALETTE = ("#4c6ef5", "#f08c00", "#12b886", "#e64980", "#7950f2", "#15aabf", "#fa5252", "#82c91e")
"""Curves of runs, and agents that a picture does not colour."""

DISTINCT = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")
"""Players and actions of a game, told apart by colour-blind readers too (Okabe and Ito 2008)."""
