"""What a data set is stored in: each kind says its shards, reads one, and tells one from another."""
