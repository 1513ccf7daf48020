"""The section Evaluation: its facts, and all that only it needs."""
