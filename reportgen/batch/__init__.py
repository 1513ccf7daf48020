"""Many reports: planned, each made in a process of its own on any engine, and kept in a journal."""
