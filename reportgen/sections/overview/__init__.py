"""The section Overview: its facts, and all that only it needs."""
