"""Decisions on top of finished runs: what a network's probabilities are worth in money."""
