"""Node types: equal nodes, under a name that says what distinguishes them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from .facts import NodeFacts

_ALIKE = 0.05  # nodes whose memory differs by this part at most are of one type
_VENDORS = (  # of GPUs, by the names of their models
    ("amd", r"(?i)\bmi\d|amd|radeon|instinct|gfx\d|vega"),
    ("intel", r"(?i)max[_-]?1\d\d\d|pvc|ponte|xpu|intel"),
    ("nvidia", r"(?i)nvidia|tesla|quadro|geforce|[rg]tx|titan|\b[avhltpbk]\d{1,3}[a-z]*\b|gh?b?200|\bgh"),
)


@dataclass(frozen=True, kw_only=True)
class TypeFacts:
    """Equal nodes. `memory` is that of the smallest; `features` are those that all have, `own_features` no others do.

    `gpu_ids` and `gpu_cpus` are known where this host is one of them: the CPU ids next to each GPU.
    """

    name: str
    nodes: Sequence[str]
    cpus: int | None
    threads_per_core: int
    memory: int | None
    gpus: int
    gpu_model: str
    features: frozenset[str]
    own_features: frozenset[str]
    gpu_kind: str = ""
    gpu_ids: tuple[str, ...] = ()
    gpu_cpus: tuple[str, ...] = ()


def node_types(nodes: Iterable[NodeFacts]) -> list[TypeFacts]:
    """The types of some nodes, the most frequent first."""
    groups: dict[tuple[object, ...], list[NodeFacts]] = {}
    for node in nodes:
        groups.setdefault((node.cpus, node.threads_per_core, node.gpus, node.gpu_model), []).append(node)
    alike = sorted((part for group in groups.values() for part in _by_memory(group)), key=len, reverse=True)
    names = _names([part[0] for part in alike])
    found = []
    for name, part in zip(names, alike, strict=True):
        others = (node.features for other in alike if other is not part for node in other)
        found.append(_type(name, part, frozenset[str]().union(*others)))
    return found


def vendor(model: str) -> str:
    """Whose GPUs these are, by the model's name; '' where that does not tell."""
    return next((kind for kind, pattern in _VENDORS if re.search(pattern, model)), "")


def _by_memory(nodes: list[NodeFacts]) -> list[list[NodeFacts]]:
    parts: list[list[NodeFacts]] = []
    for node in sorted(nodes, key=lambda one: one.memory or 0):
        if parts and (node.memory or 0) <= (parts[-1][0].memory or 0) * (1 + _ALIKE):
            parts[-1].append(node)
        else:
            parts.append([node])
    return parts


def _type(name: str, nodes: Sequence[NodeFacts], of_others: frozenset[str]) -> TypeFacts:
    first = nodes[0]
    features = frozenset.intersection(*(node.features for node in nodes))
    return TypeFacts(
        name=name,
        nodes=[node.name for node in nodes],
        cpus=first.cpus,
        threads_per_core=first.threads_per_core,
        memory=first.memory,
        gpus=first.gpus,
        gpu_model=first.gpu_model,
        features=features,
        own_features=features - of_others,
        gpu_kind=vendor(first.gpu_model),
    )


_DISTINCTIONS: Sequence[Callable[[NodeFacts], str]] = (
    lambda node: (_plain(node.gpu_model) or "gpu") if node.gpus else "cpu",
    lambda node: f"x{node.gpus}" if node.gpus else "",
    lambda node: f"{node.cpus}cpus" if node.cpus else "",
    lambda node: f"{round(node.memory / 1024)}gb" if node.memory else "",
    lambda node: f"{node.threads_per_core}threads",
)


def _names(firsts: Sequence[NodeFacts]) -> list[str]:
    """A name for each type: the GPUs, and of the rest only what tells apart those that share a name."""
    names = ["" for _ in firsts]
    for distinction in _DISTINCTIONS:
        times = Counter(names)
        shared: dict[str, set[str]] = {}
        for name, node in zip(names, firsts, strict=True):
            shared.setdefault(name, set()).add(distinction(node))
        names = [
            "_".join(filter(None, (name, distinction(node))))
            if not name or (times[name] > 1 and len(shared[name]) > 1)
            else name
            for name, node in zip(names, firsts, strict=True)
        ]
    times = Counter(names)
    seen: Counter[str] = Counter()
    for at, name in enumerate(names):
        seen[name] += 1
        names[at] = f"{name}_{seen[name]}" if times[name] > 1 else name
    return names


def _plain(text: str) -> str:
    """A text as a bare key of TOML."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
