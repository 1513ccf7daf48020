"""What a network is to everyone else: facts, the protocol, the tasks of outputs, calls worth showing."""
