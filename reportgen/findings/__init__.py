"""Rules over the report's data."""
