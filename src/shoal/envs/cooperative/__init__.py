"""Small games of one team, whose best return is known."""
