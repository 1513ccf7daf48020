"""The section Weights: its facts, and all that only it needs."""
