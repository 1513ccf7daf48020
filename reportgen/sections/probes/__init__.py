"""The section Probes: its facts, and all that only it needs."""
