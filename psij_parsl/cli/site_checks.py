"""What is wrong with a site, beyond the types of its values: all of it, each with its line."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import chain, count
from pathlib import Path
from typing import Any

from ..errors import Error, InvalidRequest, TemplateError, nearest
from ..job import Job
from ..job_size import FLAGS
from ..platforms.platform import Platform
from ..platforms.registry import platform as find_platform
from ..sites.completion import completed
from ..sites.content import Fault, key_text
from ..sites.joining import not_among, plain
from ..sites.matching import limits
from ..sites.queues import RENDERED_NAMES, NodeType, Queue
from ..sites.settings import AUTO, Settings
from ..sites.site import Site
from ..sites.toml_positions import Key
from .bash_syntax import BashError, bash_errors


def faults(site: Site) -> list[Fault]:
    """Everything that is wrong, in the order of the file. Nothing is submitted, and no manager asked."""
    found = faults_of_values(site)
    found += () if any(fault.key == "platform" for fault in found) else _defaults(site)
    if not found:  # what is wrong with a parameter would be wrong with each queue's script again
        platform = find_platform(site.platform)
        found += _smallest_jobs(site, platform)
    return sorted(dict.fromkeys(found), key=lambda fault: fault.place)


def faults_of_values(site: Site) -> list[Fault]:
    """What is wrong with single values of a site, of which others may be lacking because they are wrong, too."""
    try:
        platform = find_platform(site.platform)
    except Error as error:
        return [Fault(site.origin("platform"), "platform", error.message, error.hint)]
    unreadable = bash_errors(text for _, settings in _tables(site) for text in settings.setup)
    found = [
        *chain.from_iterable(
            _of_settings(site, platform, key, settings, unreadable) for key, settings in _tables(site)
        ),
        *_launch_lines(site),
        *_managers(site),
    ]
    return sorted(dict.fromkeys(found), key=lambda fault: fault.place)


def warnings(site: Site) -> list[Fault]:
    """What is allowed, and most likely not meant, in a site without faults: in the order of the file."""
    platform = find_platform(site.platform)
    found = chain.from_iterable(_of_node_types(site, platform, queue) for queue in site.queues.values())
    return sorted(found, key=lambda fault: fault.place)


def warnings_here(site: Site) -> list[Fault]:
    """The same of what is wrong on this host alone."""
    error = site.spool_fault()
    if error is None:
        return []
    origin, _, text = error.message.partition(": ")
    return [Fault(origin, "", text, error.hint)]


def _of_node_types(site: Site, platform: Platform, queue: Queue) -> Iterator[Fault]:
    """The node types of a queue between which the manager cannot choose: a job asks it for the same."""
    key = ("queues", queue.name, "node")
    if len(queue.node_types) < 2 or site.origin(key) == "default":
        return
    by_request: dict[str, list[str]] = {}
    for name in queue.node_types:
        node_type = site.node_types[name]
        try:
            by_request.setdefault(_request(site, platform, queue, node_type), []).append(name)
        except Error:
            return
    place = site.line_of(key), key_text(key)
    if alike := [" and ".join(names) for names in by_request.values() if len(names) > 1]:
        text = f"nothing in a job's request tells these node types apart: {'; '.join(alike)}"
        yield Fault(*place, text, "give each the `parameters` that select it, such as a feature of its nodes")
        return
    types = [site.node_types[name] for name in queue.node_types]
    plain = [one for one in types if not one.hardware.gpus]
    for one in plain if "gpus_per_rank" not in {*site.required, *queue.required} else ():
        others = [other.name for other in types if other.hardware.gpus and _selects_no_other(one, other)]
        if others:
            text = f"a job without GPUs, which goes by {one.name}, may come to {' or '.join(others)} nodes"
            hint = f"give {one.name} the `parameters` that select it, such as a feature of its nodes"
            yield Fault(*place, text, hint)


def _selects_no_other(one: NodeType, other: NodeType) -> bool:
    """Whether what the parameters of one type ask for holds for nodes of the other, too."""
    return all(other.parameters.get(name) == value for name, value in one.parameters.items())


def _request(site: Site, platform: Platform, queue: Queue, node_type: NodeType) -> str:
    """What the manager is asked for, for the smallest job on nodes of that type: the script without our own parts."""
    job, _ = _job(site, platform, queue, node_type)
    return _script(site, platform, job.with_(node_type="", setup=(), environment={}))


def _tables(site: Site) -> Iterator[tuple[Key, Settings]]:
    yield (), site
    for node_type in site.node_types.values():
        yield node_type.key, node_type
    for name, queue in site.queues.items():
        yield ("queues", name), queue


def _of_settings(
    site: Site, platform: Platform, table: Key, settings: Settings, unreadable: Mapping[str, BashError]
) -> Iterator[Fault]:
    """Parameters that the platform does not have or refuses, names that mean nothing, shell texts that are none."""
    declared = platform.template_class.params
    for name, value in settings.parameters.items():
        key = (*table, "parameters", name)
        if name in declared:
            try:
                declared[name].convert(plain(declared[name], value) if value != "" else None)
            except InvalidRequest as error:
                yield Fault(site.line_of(key), key_text(key), error.message, error.hint)
        elif not (name in RENDERED_NAMES and table[:1] == ("queues",)):
            yield _unknown(site, platform, key, name, declared)
    known = {*declared, *FLAGS}
    for list_name in ("required", "forbidden", "choices"):
        for at, name in enumerate(getattr(settings, list_name)):
            if name not in known:
                key = (*table, list_name, name if list_name == "choices" else at)
                yield _unknown(site, platform, key, name, known)
    given = {**(site.defaults if settings is site else {}), **settings.parameters}
    for name, allowed in settings.choices.items():
        if wrong := not_among(declared.get(name), given.get(name), allowed):
            key = (*table, "choices", name)
            yield Fault(site.line_of(key), key_text(key), f"lacks {wrong!r}, which a job has without asking")
    modules = next(number for number in count() if (*table, "modules", number) not in site.origins)
    for at, text in enumerate(settings.setup[modules:]):
        if text in unreadable:
            line, said = unreadable[text]
            key = (*table, "setup", at)
            where = f"in its line {line}, " if "\n" in text.strip() else ""
            yield Fault(site.line_of(key), key_text(key), f"bash cannot read it: {where}{said}")


def _unknown(site: Site, platform: Platform, key: Key, name: str, names: Collection[str]) -> Fault:
    text = f"the {platform.name} platform has no parameter {name!r}"
    return Fault(site.line_of(key), key_text(key), text, nearest(name, names))


def _managers(site: Site) -> Iterator[Fault]:
    """Detection rules by a manager that there is no platform for."""
    for row in site.rows:
        if row.key == "detect":
            for at, rule in enumerate(row.value):
                try:
                    find_platform(rule.get("manager") or site.platform)
                except Error as error:
                    key = ("detect", at, "manager")
                    yield Fault(site.line_of(key), key_text(key), error.message, error.hint)


def _launch_lines(site: Site) -> Iterator[Fault]:
    from ..runs.registry import launcher

    if site.launch is None:
        return
    name = site.launcher or find_platform(site.platform).launcher
    try:
        launcher(name)(options=site.launch.options, lines={})
    except Error as error:
        yield Fault(site.line_of(("launch", "options")), "launch.options", error.message, error.hint)
        return
    for mode, line in site.launch.lines.items():
        try:
            launcher(name)(options=site.launch.options, lines={mode: line})
        except TemplateError as error:
            yield Fault(site.line_of(("launch", mode)), f"launch.{mode}", error.message, error.hint)


def _defaults(site: Site) -> Iterator[Fault]:
    """Defaults that are impossible together."""
    name = site.defaults.get("queue")
    known = {*site.queues, AUTO}
    if name is not None and site.queues and not {*str(name).split(",")} <= known:
        hint = nearest(str(name), known)
        yield Fault(site.origin("defaults.queue"), "defaults.queue", f"{site.name} has no queue {name!r}", hint)
        return
    if not site.defaults:
        return
    try:
        job = Job(command=["true"], **{**site.defaults, "queue": None if name == AUTO else name})
    except InvalidRequest as error:
        yield Fault(site.line_of(("defaults", "num_nodes"), ("defaults",)), "defaults", error.message, error.hint)
        return
    for finding in limits(site, job) if name is not None and name != AUTO else ():
        if finding.level == "refuse":
            text = f"a job with the defaults alone is refused: {finding.text}"
            yield Fault(site.line_of(("defaults", "queue"), ("defaults",)), "defaults", text)


def _queues(site: Site) -> list[Queue | None]:
    return list(site.queues.values()) or [None]


def _smallest_jobs(site: Site, platform: Platform) -> Iterator[Fault]:
    """What is wrong with the script of the smallest job that each queue takes."""
    scripts: dict[Key, str] = {}
    for queue in _queues(site):
        key: Key = ("queues", queue.name) if queue is not None else ("platform",)
        yield from _smallest_job(site, platform, queue, key, scripts)
    unreadable = bash_errors(scripts.values())
    for key, script in scripts.items():
        if script in unreadable:
            number, said = unreadable[script]
            line = script.splitlines()[number - 1] if number <= script.count("\n") else ""
            yield Fault(site.line_of(key), key_text(key), f"bash cannot read its script: {said}, at {line!r}")


def _smallest_job(
    site: Site, platform: Platform, queue: Queue | None, key: Key, scripts: dict[Key, str]
) -> Iterator[Fault]:
    """What is wrong with the smallest job of a queue; its script is put to the others."""
    try:
        job, refused = _job(site, platform, queue)
    except Error as error:
        yield Fault(site.line_of(key), key_text(key), f"no job can be made for it: {error.message}", error.hint)
        return
    for text in refused:
        yield Fault(site.line_of(key), key_text(key), f"its smallest job is refused: {text}")
    try:
        scripts[key] = _script(site, platform, job)
    except Error as error:
        yield Fault(site.line_of(key), key_text(key), f"its script cannot be made: {error.message}", error.hint)


def _job(
    site: Site, platform: Platform, queue: Queue | None, node_type: NodeType | None = None
) -> tuple[Job, list[str]]:
    """The smallest job of a queue, with something for whatever the user must say; and why it would be refused.

    With a node type it asks for that, and for a GPU where its nodes have any.
    """
    values: dict[str, Any] = {"parameters": dict(node_type.parameters) if node_type is not None else {}}
    forbidden = {*site.forbidden, *(queue.forbidden if queue is not None else ())}
    if (
        node_type is not None
        and node_type.hardware.gpus
        and "gpus_per_rank" not in {*forbidden, *node_type.forbidden}
    ):
        values["gpus_per_rank"] = 1
    if "project" not in forbidden:
        values["project"] = site.defaults.get("project") or "project"
    if queue is not None:
        tier = min(queue.tiers, key=lambda one: one.min_nodes)
        longest = tier.longest(tier.min_nodes)
        minutes = max(queue.min_time_min or 1, min(10, int(longest or 10)))
        values |= {"queue": queue.name, "num_nodes": tier.min_nodes, "wall_time_min": minutes}
        values["memory_per_node"] = queue.min_memory
    needed = {name for _, table in _tables(site) for name in table.required}
    if "memory_per_node" in needed:
        values["memory_per_node"] = values.get("memory_per_node") or 1024
    choices = {name: allowed for _, table in _tables(site) for name, allowed in table.choices.items()}
    for name in needed & platform.template_class.params.keys() & choices.keys():
        values["parameters"].setdefault(name, choices[name][0])
    completion = completed(site, values)
    job = Job(**{"command": ("true",), **completion.fields})
    found = [*completion.findings, *limits(site, job)]
    return job, [finding.text for finding in found if finding.level == "refuse" and finding.key != "required"]


def _script(site: Site, platform: Platform, job: Job) -> str:
    from ..jobs.file_settings import FileSettings, JobPlace
    from ..jobs.job_files import render

    settings = FileSettings(
        template=platform.template_class,
        platform=platform.name,
        launcher=site.launcher or platform.launcher,
        launch=site.launch,
        site=site.name,
    )
    return render(settings, job, JobPlace("JOB", "psij:JOB", Path("/JOB")))
