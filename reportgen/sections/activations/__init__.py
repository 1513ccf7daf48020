"""The section Activations: its facts, and all that only it needs."""
