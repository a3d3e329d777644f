"""`map`: a function or a command over many items, on the allocation that one stands in."""

from __future__ import annotations

import os
import queue
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Literal, Self, TypedDict, TypeVar, Unpack, overload

from ..errors import Error, InvalidRequest, LaunchError
from ..job_size import Resources
from ..validators import non_negative_int, positive_int
from .command_task import CommandEnd, run_command

if TYPE_CHECKING:
    from ..sites import Site
    from .slots import Holding
    from .workers import Workers

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_Value = TypeVar("_Value", covariant=True)

_AHEAD = 2  # tasks under way for each worker, so that none of them waits for us
_HOLE = "{}"


class TaskFailed(Error):
    """A command of `map` that ended with another exit code than 0, or did not start. `item` is what it was for.

    `exit_code` is 128 + the number for a signal, 126 or 127 where there was nothing to start; `stdout` and `stderr` are
    all that it wrote, `host` is where.
    """

    def __init__(self, item: object, end: CommandEnd) -> None:
        lines = end.stderr.strip().splitlines()
        why = end.error or f"exit code {end.exit_code}{f': {lines[-1]}' if lines else ''}"
        super().__init__(f"the command for {item!r} failed on {end.host}: {why}")
        self.item = item
        self.exit_code, self.stdout, self.stderr, self.host = end.exit_code, end.stdout, end.stderr, end.host


class MapOptions(TypedDict, total=False):
    """The options of `map` that have no say in the type of its results."""

    in_order: bool
    at_once: int | None
    cores: int
    gpus: int
    timeout: float | None
    site: Site | str | None
    launcher: str | None


@overload
def map(
    work: Callable[[_Item], _Result],
    items: Iterable[_Item],
    *,
    return_exceptions: Literal[False] = False,
    **options: Unpack[MapOptions],
) -> Results[_Result]: ...


@overload
def map(
    work: Callable[[_Item], _Result],
    items: Iterable[_Item],
    *,
    return_exceptions: bool,
    **options: Unpack[MapOptions],
) -> Results[_Result | Exception]: ...


@overload
def map(
    work: Sequence[str],
    items: Iterable[object],
    *,
    return_exceptions: Literal[False] = False,
    **options: Unpack[MapOptions],
) -> Results[str]: ...


@overload
def map(
    work: Sequence[str], items: Iterable[object], *, return_exceptions: bool, **options: Unpack[MapOptions]
) -> Results[str | Exception]: ...


def map(
    work: Callable[[Any], Any] | Sequence[str],
    items: Iterable[Any],
    *,
    return_exceptions: bool = False,
    in_order: bool = True,
    at_once: int | None = None,
    cores: int = 1,
    gpus: int = 0,
    timeout: float | None = None,
    site: Site | str | None = None,
    launcher: str | None = None,
) -> Results[Any]:
    """Call a function with each item, or run a command for each, over the nodes of the current allocation.

    `work` is a function of one argument that can be pickled, or the words of a command, in which `{}` stands for
    the item. A result is what the function returns, or the command's stdout. Results come in the order of the items, or
    with `in_order=False` as they are there. The first exception is raised where its result would have come, a command's as
    `TaskFailed`, and ends the rest; with `return_exceptions` exceptions are results. `sys.exit()` in the function is a
    `RuntimeError`.

    As many run at once as there is room for, or `at_once`: each in a worker of its own with so many `cores` and
    `gpus`. On one host workers are processes of `concurrent.futures`, on several nodes those of Parsl's
    HighThroughputExecutor. `timeout` is in seconds from the call. `site` and `launcher` are as in `MPIRun.for_site`.

    Raises `InvalidRequest` for arguments that cannot work, `DoesNotFit` for a task that is larger than the nodes.
    """
    from ..resources import NodeResources
    from ..resources.above import held_above
    from ..runs.run_processes import MARK
    from ..runs.selection import fitting
    from ..runs.variables import FARM
    from ..sites import find
    from .slots import sized, take

    function = _function(work)
    task = Resources(
        cpus_per_rank=_checked("cores", cores, positive_int), gpus_per_rank=_checked("gpus", gpus, non_negative_int)
    )
    if timeout is not None:
        from ..jobs.executor import check_timeout

        check_timeout(timeout)
    most = None if at_once is None else _checked("at_once", at_once, positive_int)
    deadline = None if timeout is None else time.monotonic() + timeout
    each = iter(items)
    machine = find(site, placing=False) if site is None or isinstance(site, str) else site
    resources = NodeResources.discover(hardware=machine.hardware_of)
    if site is None:
        machine = fitting(machine, resources.allocation.platform)
    allocation = resources.allocation
    inner = os.environ.get(FARM) == allocation.full_id  # what it is called in holds the nodes until it has ended
    within = MARK in os.environ and bool(held_above(resources))
    holding = take(resources, task, most, wait=not (inner or within), timeout_s=timeout)
    if holding is None and within:
        raise LaunchError(
            "there is no room for this map beside the run that it is called in, which holds the nodes",
            hint="start the program without psij-run launch",
        )
    if holding is None and inner:
        raise LaunchError(
            "there is no room for this map: the farm whose task it is called in holds the nodes",
            hint="call it outside, or leave it room with at_once, or -P",
        )
    if holding is None:
        raise LaunchError(
            "there was no room for map in time", hint="`psij-run resources show` shows which runs hold the nodes"
        )
    assignment = holding.assignment
    shape = sized(task, len(assignment.nodes), holding.per_node)
    try:
        settings = {
            "launcher": launcher,
            "guarded": partial(resources.hold_for, assignment),
            "hide_gpus": any(node.gpus for node in allocation.nodes),
            "environment": {FARM: allocation.full_id},
        }
        workers = _workers(function, holding, shape, machine, settings)
    except BaseException:
        assignment.free()
        raise
    ended = None if callable(work) else _command_result
    return Results(each, workers, assignment.free, ended, return_exceptions, in_order, deadline)


class Results(Iterator[_Value], Generic[_Value]):
    """What `map` gives: an iterator over the results.

    Tasks run until the last result is there, or it is closed: what runs then ends, and the nodes are free. It closes
    itself after the last result and after an exception; as a context manager at the end of the block.
    """

    def __init__(
        self,
        items: Iterator[Any],
        workers: Workers,
        free: Callable[[], None],
        ended: Callable[[Any, Any], Any] | None,
        return_exceptions: bool,
        in_order: bool,
        deadline: float | None,
    ) -> None:
        self._items = items
        self._workers = workers
        self._free = free
        self._result_of = ended
        self._return_exceptions = return_exceptions
        self._in_order = in_order
        self._deadline = deadline
        self._waiting: dict[Future[Any], Any] = {}  # each with its item, in order
        self._done: queue.SimpleQueue[Future[Any]] = queue.SimpleQueue()
        self._running = 0  # of them those that were not taken from the queue
        self._more = True
        self._open = True
        try:
            self._start_more()
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> _Value:
        if not self._open:
            raise StopIteration
        try:
            # No more than are there now: short tasks could end as fast as others are started in their place.
            for _ in range(self._done.qsize() if self._in_order else 0):
                self._one_done()
            if not self._waiting:
                raise StopIteration
            item, future = self._next()
            value: _Value = self._result(item, future)
            return value
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End what runs. Nothing is left of it, and the nodes are free. Closing twice is fine."""
        if self._open:
            self._open = self._more = False
            try:
                self._workers.close()
            finally:
                self._free()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_open", False):
            self.close()

    def _start_more(self) -> None:
        """Have some tasks more under way than there are workers."""
        while self._more and self._running < _AHEAD * self._workers.at_once:
            try:
                item = next(self._items)
            except StopIteration:
                self._more = False
                return
            future = self._workers.submit(item)
            self._running += 1
            self._waiting[future] = item
            future.add_done_callback(self._done.put)

    def _next(self) -> tuple[Any, Future[Any]]:
        """Wait for the next one that is to be given out. Raises `TimeoutError`."""
        first = next(iter(self._waiting))
        while True:
            future = first if self._in_order and first.done() else self._one_done()
            if not self._in_order or future is first:
                return self._waiting.pop(future), future

    def _one_done(self) -> Future[Any]:
        """Wait for one that ends, and start others in its place."""
        left = None if self._deadline is None else max(0.0, self._deadline - time.monotonic())
        try:
            future = self._done.get(timeout=left)
        except queue.Empty:
            raise TimeoutError("the time for the results of map is over") from None
        self._running -= 1
        self._start_more()
        return future

    def _result(self, item: Any, future: Future[Any]) -> Any:
        error = future.exception()
        cause = None if error is None else self._workers.cause(error)
        try:
            if cause is not None:
                raise cause
            value = self._workers.result(future)
            return value if self._result_of is None else self._result_of(item, value)
        except Exception as problem:
            if not self._return_exceptions:
                raise
            return problem


def _function(work: Callable[[Any], Any] | Sequence[str]) -> Callable[[Any], Any]:
    if callable(work):
        return work
    if isinstance(work, str) or not isinstance(work, Sequence) or not all(isinstance(word, str) for word in work):
        raise InvalidRequest(
            f"{work!r} is neither a function nor the words of a command",
            hint=f'say ["gzip", "{_HOLE}"], word by word',
        )
    words = tuple(work)
    if not any(_HOLE in word for word in words):
        raise InvalidRequest(
            f"the command {' '.join(words)!r} is the same for all items", hint=f"{_HOLE} stands for the item in it"
        )
    return partial(_run_for, words)


def _run_for(words: Sequence[str], item: object) -> CommandEnd:
    return run_command([word.replace(_HOLE, str(item)) for word in words])


def _command_result(item: object, end: CommandEnd) -> str:
    if end.exit_code or end.error:
        raise TaskFailed(item, end)
    return end.stdout


def _checked(name: str, value: Any, validator: Callable[[Any], int]) -> int:
    try:
        return validator(value)
    except ValueError as error:
        raise InvalidRequest(f"{name}={value!r}: {error}") from None


def _workers(
    function: Callable[[Any], Any], holding: Holding, shape: Resources, machine: Site, settings: Mapping[str, Any]
) -> Workers:
    from .workers import PoolsOnNodes, ProcessesHere

    nodes = holding.assignment.nodes
    if holding.here:
        told = settings["environment"]
        return ProcessesHere(nodes[0], shape, function, environment=told, hide_gpus=settings["hide_gpus"])
    return PoolsOnNodes(nodes, shape, machine, function, **settings)
