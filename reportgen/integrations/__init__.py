"""Reports where training is tracked: a callback of Keras, MLflow, Weights & Biases, TensorBoard.

Each module names the extra that installs what it needs; none of it is imported before it is asked for.
"""
