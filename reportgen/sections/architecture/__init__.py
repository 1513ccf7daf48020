"""The section Architecture: its facts, and all that only it needs."""
