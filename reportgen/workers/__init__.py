"""The survey of a data set on workers: shards are handed out, and merged in their order."""
