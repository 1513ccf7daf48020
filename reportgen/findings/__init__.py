"""Rules over the data of a report, a file a section; no arrays, no network."""
