"""The option lines of job scripts, such as `#SBATCH -N 2` and `#PBS -l select=4`, read into our own words.

Each platform's folder has one table of the options of its submit command (`Platform.directives`). A table tells of each
option which of our words it sets, which of the platform's own parameters has its value, and what becomes of it on
another manager. So it reads the scripts that people have, says which of our flags stands for an option, and refuses the
options that a job of ours must not have.

`words.WORDS` are the words that all tables share; a word that a manager alone has is a parameter of its platform.

Authors of platforms import these names from here; each is loaded when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...system.lazy_names import lazy_names

if TYPE_CHECKING:
    from .habits import Habits as Habits
    from .option import NO_TERMINAL as NO_TERMINAL
    from .option import WAITS as WAITS
    from .option import Elsewhere as Elsewhere
    from .option import Option as Option
    from .option import dropped as dropped
    from .option import means as means
    from .option import needless as needless
    from .option import only_here as only_here
    from .option import refused as refused
    from .option import switch as switch
    from .reading import Directive as Directive
    from .reading import Lines as Lines
    from .reading import OptionLines as OptionLines
    from .reading import Reading as Reading
    from .reading import WrongLine as WrongLine
    from .reading import all_lines as all_lines
    from .reading import before_first_command as before_first_command
    from .reading import joined_lines as joined_lines
    from .table import DirectiveTable as DirectiveTable
    from .values import array as array
    from .values import count as count
    from .values import file_name as file_name
    from .values import megabytes as megabytes
    from .values import minutes as minutes
    from .values import moment as moment
    from .values import next_time as next_time
    from .values import variables as variables
    from .words import PLACEHOLDERS as PLACEHOLDERS
    from .words import PLACES as PLACES
    from .words import WORDS as WORDS
    from .words import NoEquivalent as NoEquivalent

_WHERE = {
    "Directive": ".reading",
    "DirectiveTable": ".table",
    "Elsewhere": ".option",
    "Habits": ".habits",
    "Lines": ".reading",
    "NO_TERMINAL": ".option",
    "NoEquivalent": ".words",
    "Option": ".option",
    "OptionLines": ".reading",
    "PLACEHOLDERS": ".words",
    "PLACES": ".words",
    "Reading": ".reading",
    "WAITS": ".option",
    "WORDS": ".words",
    "WrongLine": ".reading",
    "all_lines": ".reading",
    "array": ".values",
    "before_first_command": ".reading",
    "count": ".values",
    "dropped": ".option",
    "file_name": ".values",
    "joined_lines": ".reading",
    "means": ".option",
    "megabytes": ".values",
    "minutes": ".values",
    "moment": ".values",
    "needless": ".option",
    "next_time": ".values",
    "only_here": ".option",
    "refused": ".option",
    "switch": ".option",
    "variables": ".values",
}
__all__ = [*_WHERE]
__getattr__ = lazy_names(__name__, _WHERE)


def __dir__() -> list[str]:
    return sorted(__all__)
