"""What a stand-in in a job's folder starts: `psij-run launch` with what the command's arguments come to."""

from __future__ import annotations

import os
import sys

from ..errors import Error
from ..runs.variables import RANK_NAMES
from .command import OWN_ERROR


def program() -> int:
    """The command whose platform and name are the first arguments. Returns its exit code."""
    from ..platforms.registry import platform
    from . import program as psij_run
    from .output import TextRenderer
    from .stdio import adopt

    try:
        stand_in = platform(sys.argv[1]).stand_in(sys.argv[2])
        launch = stand_in.launch(sys.argv[3:], os.environ)
    except Error as error:
        adopt()
        TextRenderer().error(error, exit_code=OWN_ERROR)
        return OWN_ERROR
    os.environ[RANK_NAMES] = " ".join(f"{name}={ours}" for name, ours in stand_in.rank_variables.items())
    for note in launch.notes:
        TextRenderer().note(note)
    sys.argv = ["psij-run", "launch", *launch.arguments]
    return psij_run()
