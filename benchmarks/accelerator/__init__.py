"""A benchmark of everything that only a GPU or TPU can show; see `__main__.py`."""

import sys
from pathlib import Path

# The scripts in benchmarks/, which also run as files, import each other by their own names.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
