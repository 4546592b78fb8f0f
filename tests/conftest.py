import os
import sys
from pathlib import Path

# Before TensorFlow loads: its start-up notes are not what a test is about.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

sys.path.append(str(Path(__file__).parent / "golden"))
