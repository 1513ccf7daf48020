"""The section History: its facts, and all that only it needs."""
