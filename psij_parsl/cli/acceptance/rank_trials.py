"""The jobs of an acceptance that have ranks: on two nodes, and on one with cores and GPUs for each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from ...job import Job
from ...jobs.executor import Submission
from ...system.id_ranges import format_ranges
from .probes import Rank, numbers, ranks
from .results import FAILED, PASSED, SKIPPED, Verdict
from .targets import Target
from .trials import Trial, printed


class _OfRanks(Trial):
    """A job whose ranks say where they are."""

    def hosts(self, submission: Submission) -> Sequence[str]:
        return list(dict.fromkeys(rank.host for rank in ranks(printed(submission.stdout))))


class MpiTrial(_OfRanks):
    """Ranks on two nodes, each of which says its number."""

    checks = ("mpi",)

    def __init__(self, target: Target, job: Job, launcher: str) -> None:
        super().__init__(target, job)
        self.launcher = launcher

    def judged(self, submission: Submission) -> Iterator[Verdict]:
        found = ranks(printed(submission.stdout))
        if (fault := _wrong_ranks(found, self.job)) is not None:
            yield Verdict("mpi", FAILED, f"{self.launcher} {fault}", hint="see `launcher` and `launch` in the file")
            return
        hosts = dict.fromkeys(rank.host for rank in found)
        if (wrong := Counter(rank.host for rank in found)) and set(wrong.values()) != {self.job.ranks_per_node}:
            counts = ", ".join(f"{number} on {host}" for host, number in wrong.items())
            text = f"{self.launcher} has put the ranks where they do not belong: {counts}"
            yield Verdict("mpi", FAILED, text)
            return
        yield Verdict("mpi", PASSED, f"{self.launcher} started {len(found)} ranks on {' and '.join(hosts)}")


class RanksTrial(_OfRanks):
    """Ranks on one node, each of which says its cores and its GPUs."""

    def __init__(self, target: Target, job: Job, checks: Sequence[str], *, binds: bool) -> None:
        self.checks = tuple(checks)
        self.binds = binds
        super().__init__(target, job)

    def judged(self, submission: Submission) -> Iterator[Verdict]:
        found = ranks(printed(submission.stdout))
        if (fault := _wrong_ranks(found, self.job)) is not None:
            for check in self.checks:
                yield Verdict(check, FAILED, f"the launcher {fault}")
            return
        if "binding" in self.checks:
            yield Verdict("binding", *self._binding(found))
        if "gpu" in self.checks:
            yield Verdict("gpu", *_gpus(found))

    def _binding(self, found: Sequence[Rank]) -> tuple[str, str]:
        shown = "; ".join(f"rank {rank.number}: {format_ranges(sorted(rank.cpus))}" for rank in found)
        hardware = self.target.node_type.hardware if self.target.node_type is not None else None
        if all(rank.cpus == rank.all_cpus for rank in found) and not self._must_bind:
            return SKIPPED, f"nothing binds ranks here: each may use all CPUs of {found[0].host}"
        blocked = hardware.blocked if hardware is not None else frozenset()
        if taken := sorted({cpu for rank in found for cpu in rank.cpus & blocked}):
            return FAILED, f"ranks may use CPUs that the file blocks, {format_ranges(taken)} ({shown})"
        if sum(len(rank.cpus) for rank in found) != len(frozenset().union(*(rank.cpus for rank in found))):
            return FAILED, f"ranks share CPUs ({shown})"
        few = [rank.number for rank in found if len(rank.cpus) < self.job.cpus_per_rank]
        if few:
            return FAILED, f"rank {few[0]} has fewer than {self.job.cpus_per_rank} CPUs ({shown})"
        return PASSED, f"each rank has CPUs of its own ({shown})"

    @property
    def _must_bind(self) -> bool:
        """Whether ranks that are bound to nothing are a fault: the file says which cores are for jobs, or for a GPU."""
        if not self.binds:
            return False
        node_type = self.target.node_type
        hardware = node_type.hardware if node_type is not None else None
        return hardware is not None and bool(hardware.blocked or hardware.gpu_cpus)


def _gpus(found: Sequence[Rank]) -> tuple[str, str]:
    without = [rank.number for rank in found if not rank.gpus]
    if without:
        return FAILED, f"no variable lists a GPU for rank {', '.join(without)}"
    shown = "; ".join(f"rank {rank.number}: {rank.gpu_variable}={','.join(rank.gpus)}" for rank in found)
    several = [rank.number for rank in found if len(rank.gpus) > 1]
    if several:
        return FAILED, f"rank {several[0]} sees more than one GPU ({shown})"
    by_number = {rank.gpus for rank in found}
    by_uuid = {rank.uuids for rank in found if len(rank.uuids) == 1}
    if len(by_number) < len(found) and len(by_uuid) < len(found):
        return FAILED, f"ranks share a GPU ({shown})"
    return PASSED, f"each rank has a GPU of its own ({shown})"


def _wrong_ranks(found: Sequence[Rank], job: Job) -> str | None:
    """What is wrong with the numbers of the ranks, to follow the launcher's name; None if nothing is."""
    if len(found) != job.num_ranks:
        return f"started {len(found)} ranks, and not {job.num_ranks}"
    if not all(numbers(found)):
        return "gives its ranks no number in a variable that is known"
    if numbers(found) != [str(number) for number in range(job.num_ranks)]:
        return f"numbers its {job.num_ranks} ranks {', '.join(numbers(found))}"
    return None
