"""The disk: what a run's directory holds, and how it is written."""
