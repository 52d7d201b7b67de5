"""One colour a meaning, the same in every particle world."""

BLUE = "#4c6ef5"  # agents of the good team; the third named landmark
RED = "#fa5252"  # adversaries; the first named landmark
DARK_RED = "#c92a2a"  # the adversary that leads
GREEN = "#40c057"  # prey; the second named landmark
TEAL = "#12b886"  # who speaks and cannot move
GRAY = "#495057"  # landmarks like any other
SLATE = "#868e96"  # obstacles
YELLOW = "#fab005"  # food
LEAF = "#b2f2bb"  # forests
