"""What every test stands on: TensorFlow quiet and on the processor, property tests without a deadline."""

import os

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

from hypothesis import settings

settings.register_profile("reportgen", deadline=None, derandomize=True)
settings.load_profile("reportgen")
