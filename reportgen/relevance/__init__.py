"""What a decision rests on: targets, methods, and the evidence for their maps; NumPy over ``Passes``."""
