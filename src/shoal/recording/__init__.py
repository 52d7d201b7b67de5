"""Episodes of a policy, kept and shown: replays and videos."""
