"""The section Relevance: its facts, and all that only it needs."""
