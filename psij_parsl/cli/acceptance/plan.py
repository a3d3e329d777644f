"""What an acceptance will do: its jobs, what is skipped, and a text that a person can agree to."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from ...errors import Error, InvalidRequest
from ...job import Job
from ...jobs.job_places import spool_of
from ...runs.registry import launcher as find_launcher
from ...sites.findings import settle
from .arrivals import Arrivals
from .probes import ENVIRONMENT, node_command, rank_command
from .rank_trials import MpiTrial, RanksTrial
from .results import FAILED, SKIPPED, SLOW, Result, Verdict
from .targets import MANAGERS, JobMaker, Target, node_targets, queue_targets
from .trials import CancelTrial, EnvironmentTrial, HoldTrial, NodeTrial, Trial, WallTimeTrial

if TYPE_CHECKING:
    from ...jobs.batch import BatchSchedulerExecutor

_MOST_RANKS = 4
_SLEEP_S = 3600


@dataclass
class Plan:
    """The jobs to submit, and the results that are known without them."""

    trials: list[Trial] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)

    @property
    def node_minutes(self) -> int:
        """The most that all jobs together can use; those on hold never run."""
        jobs = [trial.job for trial in self.trials if not trial.job.hold]
        return sum(job.nodes_at_least * (job.wall_time_min or 0) for job in jobs)

    def text(self, site: str, platform: str, project: str | None) -> str:
        """What will be submitted, for a person who is to agree to it."""
        charged = f", charged to {project}" if project else ""
        lines = [f"{_count(len(self.trials), 'job')} will be submitted to {site} ({platform}){charged}:"]
        if held := [trial.where or MANAGERS for trial in self.trials if trial.job.hold]:
            lines.append(f"  on hold, and cancelled at once: {', '.join(held)}")
        for (where, nodes, minutes), checks in self._groups().items():
            each = " each" if len(checks) > 1 else ""
            size = f"{_count(nodes, 'node')} for at most {minutes} min{each}"
            lines.append(f"  {where or MANAGERS}, {size}: {', '.join(checks)}")
        lines.append(f"in all at most {_count(self.node_minutes, 'node-minute')}; what is left over is cancelled")
        return "\n".join(lines)

    def _groups(self) -> dict[tuple[str, int, int], list[str]]:
        """The checks whose jobs run in the same place, on as many nodes, for as many minutes."""
        groups: dict[tuple[str, int, int], list[str]] = {}
        for trial in self.trials:
            if not trial.job.hold:
                key = trial.where, trial.job.nodes_at_least, trial.job.wall_time_min or 0
                groups.setdefault(key, []).append("+".join(trial.checks))
        return groups


class Planner:
    """Makes the trials of a site."""

    def __init__(self, maker: JobMaker, executor: BatchSchedulerExecutor, queues: Sequence[str]) -> None:
        self.maker, self.executor, self.site = maker, executor, maker.site
        self.queues = queues
        self._arrivals = Arrivals(self.site, executor.platform)
        choices = node_targets(self.site, queues, maker)
        self.targets = [choice[0] for choice in choices]
        #: Where jobs of two nodes go: to the same queue, unless only another takes such.
        self._two_node_targets = [
            next((one for one in choice if not one.refusal(2)), choice[0]) for choice in choices
        ]
        self._plan = Plan()

    def refuse_incomplete(self) -> None:
        """Raise `InvalidRequest` if the user must say more, a project for example."""
        target = self.targets[0]
        completion = self.site.completion(self.maker.values(target, {}))
        settle(found for found in completion.findings if found.key in ("project", "required"))
        spool_of(self.executor.spool, completion.fields.get("project"))

    def plan(self, checks: Collection[str]) -> Plan:
        """The trials for those checks."""
        steps: dict[str, Callable[[], None]] = {
            "hold": self._hold,
            "node": self._node,
            "environment": self._environment,
            "mpi": self._mpi,
            "binding": lambda: self._ranks(checks),
            "cancel": self._cancel,
            "walltime": self._wall_time,
        }
        shown_by = {"spool": "node", "gpu": "binding"}
        wanted = {shown_by.get(check, check) for check in checks}
        for name, step in steps.items():
            if name in wanted:
                step()
        return self._plan

    # ---- the jobs of each check ----------------------------------------------------------------------------

    def _hold(self) -> None:
        if "hold" not in self.executor.platform.template_class.uses:
            self._skip("hold", f"{self.executor.platform.name} cannot hold a job")
            return
        for target in queue_targets(self.site, self.queues):
            self._add(target, HoldTrial.checks, partial(self._hold_trial, target))

    def _hold_trial(self, target: Target) -> Trial:
        return HoldTrial(target, self._job(target, ["true"], hold=True))

    def _node(self) -> None:
        for target in self.targets:
            self._add(target, NodeTrial.checks, partial(self._node_trial, target))

    def _node_trial(self, target: Target) -> Trial:
        word = secrets.token_hex(8)
        job = self._job(target, node_command(word))
        return NodeTrial(target, job, word, spool_of(self.executor.spool_on_nodes, job.project_name or job.project))

    def _environment(self) -> None:
        own = [one for one in queue_targets(self.site, self.queues) if self._has_own_setup(one)]
        known = {target.name for target in self.targets}
        for target in [*self.targets, *(one for one in own if one.name not in known)]:
            if any((one.setup or one.environment) for one in (self.site, target.node_type, target.queue) if one):
                self._add(target, EnvironmentTrial.checks, partial(self._environment_trial, target))
            else:
                self._skip("environment", "the file names no modules, setup or environment", target)

    def _has_own_setup(self, target: Target) -> bool:
        """Whether its queue adds something to a job's environment, and may be used unasked or is named."""
        queue = target.queue
        return (
            queue is not None and bool(queue.setup or queue.environment) and bool(self.queues or queue.can_be_chosen)
        )

    def _environment_trial(self, target: Target) -> Trial:
        return EnvironmentTrial(target, self._job(target, ["sh", "-c", ENVIRONMENT]))

    def _mpi(self) -> None:
        for target in self._two_node_targets:
            nodes = max(2, target.least_nodes)
            if reason := target.refusal(nodes) or self._one_node_only(target):
                self._skip("mpi", reason, target)
                continue
            self._add(target, MpiTrial.checks, partial(self._mpi_trial, target, nodes))

    def _mpi_trial(self, target: Target, nodes: int) -> Trial:
        return MpiTrial(target, self._rank_job(target, nodes, self._ranks_per_node(target, 2)), self._launcher)

    def _one_node_only(self, target: Target) -> str:
        """Why there can be no job of two nodes, if one of one node can be; else ''."""
        try:
            self.executor.render(self._rank_job(target, 2, 2))
        except InvalidRequest as error:
            try:
                self.executor.render(self._rank_job(target, 1, 2))
            except InvalidRequest:
                return ""
            return error.message
        return ""

    def _ranks(self, checks: Collection[str]) -> None:
        """Binding and GPUs, which one job shows."""
        with_gpus = [target for target in self.targets if target.gpus]
        if "gpu" in checks and not with_gpus:
            self._skip("gpu", "the file describes no nodes with GPUs")
        for target in self.targets:
            shown = ["binding"] * ("binding" in checks) + ["gpu"] * ("gpu" in checks and target in with_gpus)
            count = self._ranks_per_node(target, _MOST_RANKS)
            if count < 2 and "binding" in shown:
                self._skip("binding", "its nodes have one core", target)
                shown.remove("binding")
            if shown:
                self._add(target, shown, partial(self._ranks_trial, target, count, shown))

    def _ranks_trial(self, target: Target, count: int, shown: Sequence[str]) -> Trial:
        binds = not find_launcher(self._launcher).this_host_only
        return RanksTrial(target, self._rank_job(target, target.least_nodes, count), shown, binds=binds)

    def _ranks_per_node(self, target: Target, most: int) -> int:
        """So many ranks that each has a core and, on nodes with GPUs, a GPU of its own; elsewhere two show enough."""
        limits = [most if target.gpus else 2, target.cores or 2, *([target.gpus] if target.gpus else [])]
        return max(1, min(limits))

    def _rank_job(self, target: Target, nodes: int, ranks: int) -> Job:
        command = rank_command(find_launcher(self._launcher).rank_variables)
        return self._job(target, command, num_nodes=nodes, ranks_per_node=ranks, job_mode="mpi")

    def _cancel(self) -> None:
        target = self.targets[0]
        self._add(target, CancelTrial.checks, partial(self._cancel_trial, target))

    def _cancel_trial(self, target: Target) -> Trial:
        return CancelTrial(target, self._job(target, ["sleep", str(_SLEEP_S)]))

    def _wall_time(self) -> None:
        self._add(self.targets[0], WallTimeTrial.checks, partial(self._wall_time_trial, self.targets[0]))

    def _wall_time_trial(self, target: Target) -> Trial:
        minutes = (target.queue.min_time_min if target.queue is not None else None) or 1
        command = ["sleep", str(minutes * 60 + _SLEEP_S)]
        return WallTimeTrial(target, self._job(target, command, wall_time_min=minutes))

    # ---- parts ---------------------------------------------------------------------------------------------

    @property
    def _launcher(self) -> str:
        return self.executor.launcher

    def _job(self, target: Target, command: Sequence[str], **fields: object) -> Job:
        return self.maker.job(target, command, **fields)

    def _add(self, target: Target, checks: Sequence[str], make: Callable[[], Trial]) -> None:
        """Add a trial; if its job cannot be asked for, its checks have failed."""
        try:
            trial = make()
            self.executor.render(trial.job)
        except Error as error:
            for check in checks:
                verdict = Verdict(check, FAILED, f"no job can be made for it: {error.message}", hint=error.hint)
                self._plan.results.append(Result(verdict, target.where))
        else:
            trial.arrivals = self._arrivals
            self._plan.trials.append(trial)

    def _skip(self, check: str, text: str, target: Target | None = None) -> None:
        where = target.where if target is not None else ""
        self._plan.results.append(Result(Verdict(check, SKIPPED, text), where))


def slow_ones_skipped(checks: Collection[str]) -> Iterator[Result]:
    """The results of checks that take long and were not named."""
    for check in sorted(SLOW - set(checks)):
        yield Result(Verdict(check, SKIPPED, f"takes a minute or more: --only {check} does it"))


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
