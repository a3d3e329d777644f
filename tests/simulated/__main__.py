"""python -S -E tests/simulated MANAGER COMMAND WORDS...: the program behind each command's name."""

import importlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

if __name__ == "__main__":
    manager = importlib.import_module(f"simulated.{sys.argv[1]}").manager
    sys.exit(manager.main(sys.argv[2], sys.argv[3:]))
