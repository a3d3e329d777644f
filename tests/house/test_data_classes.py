"""Dataclasses whose methods are made late are the dataclasses that they would have been."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
import sys
import threading
from collections.abc import Hashable
from dataclasses import field
from functools import cached_property
from typing import Any, ClassVar

import pytest

from psij_parsl.data_classes import dataclass


def define(decorator: Any) -> list[type]:
    """The same classes, by one decorator or the other."""

    @decorator(frozen=True)
    class Base:
        """A base."""

        a: int
        b: list[int] = field(default_factory=list)
        c: str = field(default="c", compare=False, repr=False)
        known: ClassVar[int] = 3

        @cached_property
        def twice(self) -> int:
            return self.a * 2

    @decorator(frozen=True, kw_only=True)
    class Child(Base):
        d: Base = Base(0)
        a: int = 1

        def __post_init__(self) -> None:
            object.__setattr__(self, "c", "changed")

    @decorator
    class Changing:
        a: int = 0

        def __repr__(self) -> str:
            return "mine"

    @decorator(frozen=True)
    class Equal:
        a: int
        b: int = 0

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Equal) and self.a == other.a

        def __hash__(self) -> int:
            return hash(self.a)

    class Plain(Base):
        def __init__(self) -> None:
            super().__init__(7)
            self.more = 1

    return [Base, Child, Changing, Equal, Plain]


def facts(classes: list[type]) -> list[object]:
    """What can be seen of classes and their objects."""
    base, child, changing, equal, plain = classes
    changed = changing(2)
    changed.a = 3
    one = base(1, [2])
    return [
        [
            [(each.name, each.type, each.kw_only, each.compare, each.repr) for each in dataclasses.fields(kind)]
            for kind in classes
        ],
        [str(inspect.signature(kind)) for kind in classes],
        [kind.__match_args__ for kind in classes],  # type: ignore[attr-defined]  # a dataclass has them
        [str(kind.__dataclass_params__) for kind in classes],  # type: ignore[attr-defined]  # likewise
        [issubclass(kind, Hashable) for kind in classes],
        [repr(each).rpartition(".")[2] for each in (one, child(a=2), changed, equal(1), plain())],
        [
            one == base(1, [2], "other"),
            one == base(1),
            one == child(a=1),
            equal(1) == equal(1, 5),
            changed == changing(3),
        ],
        [hash(base(1, ())) == hash(base(1, (), "other")), hash(equal(4)) == hash(equal(4, 1))],
        [one.twice, base.c, base.known, hasattr(base, "b"), child(a=3).c, plain().more, base(5).b],
        repr(dataclasses.replace(one, a=9)).rpartition(".")[2],
        dataclasses.asdict(one),
    ]


def test_they_are_as_dataclasses_makes_them() -> None:
    assert facts(define(dataclass)) == facts(define(dataclasses.dataclass))


@pytest.mark.parametrize("how", ["change", "delete"])
def test_what_is_frozen_is_frozen(how: str) -> None:
    base, _, _, _, plain = define(dataclass)
    for item, name in ((base(1), "a"), (base(1), "new"), (plain(), "a")):
        with pytest.raises(dataclasses.FrozenInstanceError, match=f"field '{name}'"):
            setattr(item, name, 2) if how == "change" else delattr(item, name)
    free = plain()
    free.new = 2
    del free.new
    assert not hasattr(free, "new")


def test_wrong_arguments_are_refused_at_the_first_object_too() -> None:
    for words in ((), (1, 2, 3, 4)):
        with pytest.raises(TypeError, match=r"Base.__init__\(\)"):
            define(dataclass)[0](*words)


@dataclass(frozen=True)
class Kept:
    a: int
    b: tuple[int, ...] = ()


FRESH = f"""
import pickle, sys
from tests.house.test_data_classes import Kept
one, other = (pickle.loads({pickle.dumps(Kept(1, (2,)))!r}) for _ in range(2))
"""


@pytest.mark.parametrize(
    "first",
    [
        "one == other",
        "hash(one) == hash(other)",
        "repr(one) == 'Kept(a=1, b=(2,))'",
        "one != Kept(1)",
        "__import__('dataclasses').replace(one, a=2).a == 2",
        "__import__('copy').copy(one) == other",
        "(lambda one: [1 for case in [one] if isinstance(case, Kept)])(one)",
    ],
)
def test_objects_that_come_from_elsewhere_are_whole(first: str) -> None:
    """Those that were pickled are made without `__init__`."""
    from tests.house.test_imports import fresh

    fresh(f"{FRESH}\nassert {first}\nassert one == other and one.b == (2,)")


def test_threads_that_come_first_together_have_the_same() -> None:
    for _ in range(20):
        base = define(dataclass)[0]
        start, seen = threading.Barrier(8), list[object]()

        def use(base: type = base, start: threading.Barrier = start, seen: list[object] = seen) -> None:
            start.wait()
            seen.append(base(1) == base(1) and repr(base(1)))

        threads = [threading.Thread(target=use) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(seen) == 8
        assert len(set(seen)) == 1


def test_copies_and_matches() -> None:
    one = Kept(3, (4,))
    assert copy.deepcopy(one) == one
    if sys.version_info >= (3, 13):
        assert copy.replace(one, a=5) == Kept(5, (4,))
    match one:
        case Kept(a, b):
            assert (a, b) == (3, (4,))
