"""What a manager's users, and their scripts, expect of a job beyond what option lines say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Habits:
    """One manager's habits, for its scripts where they run on another one; a job of ours has its own.

    - `output` and `element_output` are where stdout and stderr go of a job, and of an element of an array, for which no
      option says it, in our placeholders; '' for stderr that goes where stdout does. `joins`: so it does, too, where a
      file is named for stdout alone.
    - `starts_at_home`: a job starts in the user's home, unless it has one of the options `stays_by`, or one that names
      a directory.
    - `shell_wins`: an option that names a shell counts before the script's first line.
    - `variables` are those that its jobs read, and `array_variables` further ones of an element: shell texts, which may
      use the variables of a job's command, or the name in braces of a number that `script_variables` knows.
      On its own manager, too, `index_variables` are set, for our indices may be others there, and `own_variables`: a job
      of ours is submitted from its folder, and may have another name there.
    - `copied_by` are options by which files are copied to a scratch directory in which a job then starts.
    - `commands` are programs of the manager's that scripts call.
    """

    output: tuple[str, str] = ("", "")
    element_output: tuple[str, str] = ("", "")
    joins: bool = False
    starts_at_home: bool = False
    stays_by: frozenset[str] = frozenset()
    shell_wins: bool = False
    variables: Mapping[str, str] = field(default_factory=dict)
    array_variables: Mapping[str, str] = field(default_factory=dict)
    index_variables: Mapping[str, str] = field(default_factory=dict)
    own_variables: Mapping[str, str] = field(default_factory=dict)
    copied_by: frozenset[str] = frozenset()
    commands: tuple[str, ...] = ()
