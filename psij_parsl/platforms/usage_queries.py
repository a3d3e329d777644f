"""Asks the manager what jobs have used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import Unavailable
from .queries import Query, UsageQuestion
from .query_runner import QueryRunner

if TYPE_CHECKING:
    from .usage import UsageRecord


class UsageQueries(QueryRunner):
    """What jobs have used, from the queries that a platform defines for that."""

    def usages(self, questions: Sequence[UsageQuestion], *, running: bool) -> dict[str, UsageRecord]:
        """What these jobs have used, as far as the manager tells it, by their ids as in the questions."""
        from .usage import UsageRecord

        found: dict[str, UsageRecord] = {}
        asked = {self.plain_id(question.id): question for question in questions}
        since = min((question.earliest for question in questions), default=0.0)
        for group in self.grouped([question.id for question in questions]):
            for query in self.usage_queries(group, since, running=running):
                if query.name and query.name in self._never_answered:
                    continue
                for job_id, record in self._usages_in(query, asked).items():
                    before = found.get(job_id)
                    usage = before.usage.or_else(record.usage) if before is not None else record.usage
                    found[job_id] = UsageRecord(job_id, usage, record.final and (before is None or before.final))
                if all(job_id in found and found[job_id].usage.complete for job_id in group):
                    break
        return found

    def _usages_in(self, query: Query, asked: Mapping[str, UsageQuestion]) -> dict[str, Any]:
        """The records in one answer that are about these jobs; none if there is no answer."""
        try:
            records = self._ask(query)[0]
        except Unavailable as error:
            self.warn_once("" if error.permanent else f"what jobs have used is not known: {error.message}")
            return {}
        known = [(asked.get(self.plain_id(record.id)), record) for record in records if record.usage is not None]
        return {job.id: record for job, record in known if job is not None and job.is_about(record.submitted)}

    def threads_per_core(self, nodes: Sequence[str]) -> dict[str, int]:
        """The hardware threads that count as cores in figures of usage, by node: see `threads_query`."""
        query = self.threads_query(nodes) if nodes else None
        try:
            return dict(self.ask(query)) if query is not None else {}
        except Unavailable:  # no such nodes any more
            return {}
