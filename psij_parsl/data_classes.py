"""Dataclasses whose methods are made when they are first needed.

`dataclasses` writes the methods of a class as text and compiles it, which takes up to 2 ms for each class. A start of
`psij-run` defines some sixty, makes objects of a third of them, and prints or compares next to none. What is defined
here becomes the same class as there, in two steps: with the first object come `__init__` and the fields, and with the
first use of any of the others the rest.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from threading import RLock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:

    def dataclass(cls: type | None = None, /, *, frozen: bool = False, kw_only: bool = False) -> Any:
        """As `dataclasses.dataclass`, with those of its arguments that are in use here."""

        def decorate(cls: type) -> type:
            _defer(cls, frozen=frozen, kw_only=kw_only)
            return cls

        return decorate if cls is None else decorate(cls)


_FIRST = ("__init__", "__dataclass_fields__", "__dataclass_params__", "__match_args__")
_REST = ("__repr__", "__eq__", "__replace__")
_NOT_CONTENT = ("__dict__", "__weakref__", "__annotate_func__", "__annotations_cache__")
_making = RLock()


class _Later:
    """Stands for an attribute of a class until that is made."""

    def __init__(self, owner: type, name: str, make: Callable[[], None]) -> None:
        self.owner, self.name, self.make = owner, name, make

    def __get__(self, instance: object, cls: type) -> Any:
        with _making:
            if self.owner.__dict__.get(self.name) is self:
                self.make()
        made = self.owner.__dict__[self.name]
        return made.__get__(instance, cls) if hasattr(made, "__get__") else made


def _defer(cls: type, *, frozen: bool, kw_only: bool) -> None:
    """Put something in the place of each attribute that `dataclasses` would make, until that is made."""
    own = dict(cls.__dict__)
    instead: dict[str, Any] = {}

    def make_first() -> None:
        made = _made(cls, own, repr=False, eq=False, frozen=frozen, kw_only=kw_only)
        params = made.__dict__["__dataclass_params__"]
        params.repr = params.eq = True
        _take(cls, made, {name: instead[name] for name in _FIRST if name in instead})
        _take_defaults(cls, made)

    def make_rest() -> None:
        _take(cls, _made(cls, own, frozen=frozen, kw_only=kw_only), instead)

    def __hash__(self: object) -> int:  # no `_Later`, for it is asked whether there is one
        with _making:
            if cls.__dict__["__hash__"] is __hash__:
                make_rest()
        return cls.__dict__["__hash__"](self)  # type: ignore[no-any-return]

    for name in (*_FIRST, *_REST):
        if name not in own and (name != "__replace__" or hasattr(dataclasses, "_replace")):
            instead[name] = _Later(cls, name, make_first if name in _FIRST else make_rest)
    if own.get("__hash__") is None and "__eq__" not in own:
        instead["__hash__"] = __hash__ if frozen else None
    for name, value in instead.items():
        setattr(cls, name, value)
    if frozen:
        _freeze(cls)


def _made(cls: type, own: dict[str, Any], **how: Any) -> type:
    """Another class of the same content, as `dataclasses` makes it."""
    content = {name: value for name, value in own.items() if name not in _NOT_CONTENT}
    content |= {"__annotations__": cls.__annotations__, "__doc__": cls.__doc__ or ""}
    return dataclasses.dataclass(**how)(type(cls)(cls.__name__, cls.__bases__, content))


def _take(cls: type, made: type, instead: dict[str, Any]) -> None:
    """Take what was made in the place of what stands for it still."""
    for name, value in instead.items():
        if cls.__dict__.get(name) is value and name in made.__dict__:
            setattr(cls, name, made.__dict__[name])


def _take_defaults(cls: type, made: type) -> None:
    """Have a default take the place of the `field(...)` that says it."""
    for name in cls.__annotations__:
        if isinstance(cls.__dict__.get(name), dataclasses.Field):
            if name in made.__dict__:
                setattr(cls, name, made.__dict__[name])
            else:
                delattr(cls, name)


def _freeze(cls: type) -> None:
    """Refuse changes of the fields, and of all else unless a subclass has it, as `dataclasses` does."""

    def refuse(item: object, name: str, action: str) -> None:
        if type(item) is cls or name in cls.__dataclass_fields__:  # type: ignore[attr-defined]  # it is one
            raise dataclasses.FrozenInstanceError(f"cannot {action} field {name!r}")

    owner: Any = cls  # for mypy, which has `super` take a class by name alone

    def __setattr__(self: object, name: str, value: object) -> None:
        refuse(self, name, "assign to")
        super(owner, self).__setattr__(name, value)

    def __delattr__(self: object, name: str) -> None:
        refuse(self, name, "delete")
        super(owner, self).__delattr__(name)

    cls.__setattr__ = __setattr__  # type: ignore[method-assign,assignment]
    cls.__delattr__ = __delattr__  # type: ignore[method-assign,assignment]
