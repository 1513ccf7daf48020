"""The only importers of TensorFlow and Keras: loading, structure, recording and running a model."""
