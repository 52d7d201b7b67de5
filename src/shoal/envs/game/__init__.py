"""Games of `shoal.games` as worlds that algorithms learn in."""
