"""What Keras 1.0 to 2.15 stored, as Keras 3 stores it: the configuration and the order of the weights."""
