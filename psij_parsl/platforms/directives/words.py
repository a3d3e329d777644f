"""Our words for what the option lines of a script can ask, whichever manager's they are."""

from __future__ import annotations

from collections.abc import Mapping

WORDS: Mapping[str, str] = {
    "command": "tuple: the program and its arguments, where no script of the user's says what is to run",
    "name": "text: the job's name",
    "directory": "text: where it starts",
    "stdin": "text: a file",
    "stdout": "text: a file, its placeholders as in `PLACEHOLDERS`",
    "stderr": "text: a file, as stdout",
    "join": "bool: stderr goes where stdout does",
    "append": "bool: output is added to files that are there",
    "environment": "dict: variables; None: as the submitting shell has it",
    "inherit_environment": "bool: the submitting shell's variables are the job's",
    "shell": "text: the program that reads the script",
    "num_nodes": "int: hosts",
    "ranks": "int: ranks in all, also where they are not the same on each node",
    "ranks_per_node": "int",
    "cpus_per_rank": "int: cores",
    "threads_per_core": "int: hardware threads used of each core",
    "gpus": "int: GPUs in all",
    "gpus_per_node": "int",
    "gpus_per_rank": "int",
    "gpu_kind": "text: the model of the GPUs, as that site calls it",
    "memory": "int: MB, of the whole job",
    "memory_per_node": "int: MB; 0: all that a node has",
    "memory_per_rank": "int: MB",
    "memory_per_core": "int: MB for each core",
    "memory_per_gpu": "int: MB for each GPU",
    "wall_time_min": "int: minutes; None: no limit",
    "exclusive": "bool: hosts that are shared with no other job",
    "queue": "text",
    "project": "text: what is charged",
    "qos": "text: quality of service",
    "constraint": "text: which nodes, in that manager's words",
    "reservation": "text",
    "hosts": "text: names of hosts that it must have",
    "exclude_hosts": "text: names of hosts that it must not have",
    "licenses": "text",
    "array": "text: indices, as `--array` takes them: 0-9,12,20-30:5",
    "array_limit": "int: elements that may run at a time",
    "elements": "dict: for each index of an array the words of that element alone, such as its own command",
    "after": "tuple: of texts KIND:ID, the ids that manager's; kinds as `--dependency` has them",
    "hold": "bool",
    "begin": "text: not before; YYYY-MM-DDTHH:MM:SS, HH:MM:SS (the next such time) or +SECONDS",
    "signal_before_end": "text: SIGNAL@SECONDS, sent to the programs",
    "signal_script_before_end": "text: SIGNAL@SECONDS, sent to the script alone",
}
"""Our words for what a script can ask, of any manager: their types, units and meaning."""

SHAPE = frozenset(("num_nodes", "ranks", "ranks_per_node"))
GPUS = frozenset(("gpus", "gpus_per_node", "gpus_per_rank", "gpu_kind"))
MEMORY = frozenset(("memory", "memory_per_node", "memory_per_rank", "memory_per_core", "memory_per_gpu"))
SIZE = SHAPE | {"cpus_per_rank", "threads_per_core"} | GPUS | MEMORY
"""Words about the size of a job. Those of `SHAPE`, of `GPUS` and of `MEMORY` say the same in different ways."""

FIELDS: Mapping[str, str] = {
    "gpus": "gpus_per_node",
    "memory": "memory_per_node",
    "memory_per_rank": "memory_per_core",
    "signal_script_before_end": "signal_before_end",
}
"""The fields of a job that hold what these words say; others have the word's name."""

PLACES = frozenset(
    ("queue", "project", "qos", "constraint", "reservation", "hosts", "exclude_hosts", "licenses", "gpu_kind")
)
"""Words whose values are names that a machine gives. On another machine they mean nothing, unless it has them too."""

PLACEHOLDERS: Mapping[str, str] = {
    "{id}": "the manager's id of the job; of an element, where it is one",
    "{array}": "the manager's id of the array",
    "{index}": "the element's index; {index:4} at least so many digits",
    "{name}": "the job's name",
    "{user}": "who submits",
    "{host}": "the first node",
}
"""What may stand in `stdout` and `stderr`. A brace of the name itself is doubled."""


def is_own(word: str) -> bool:
    """Whether a word is for its table's own use: what it means, only several options say together."""
    return word.startswith("_")


class NoEquivalent(ValueError):
    """What this option asks has no word of ours: it is understood by its own manager alone. The text says why.

    `word` is for `settle`: the word whose options are at fault.
    """

    def __init__(self, text: str, word: str = "") -> None:
        super().__init__(text)
        self.word = word
