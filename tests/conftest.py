"""What every test stands on: TensorFlow quiet and on the processor, property tests without a deadline."""

import os
import tempfile

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

# No test finds what another run has finished.
os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="reportgen-test-cache-")

from hypothesis import settings

settings.register_profile("reportgen", deadline=None, derandomize=True)
settings.load_profile("reportgen")
