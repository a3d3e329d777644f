"""python -S -E tests/fake_pbs COMMAND WORDS...: the program behind each command's name."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from fake_pbs import commands

if __name__ == "__main__":
    sys.exit(commands.main(sys.argv[1], sys.argv[2:]))
