"""The section Features: its facts, and all that only it needs."""
