"""How good the network is on a whole data set: one fold for every kind of output, and what is said of it."""
