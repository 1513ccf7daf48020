"""Arrays to pictures (Pillow), the few rich plots (matplotlib), and the store of their files."""
