"""Feature visualization: which units, in what range, how far they get, and which probes drive them."""
