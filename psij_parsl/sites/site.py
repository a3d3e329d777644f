"""A site: the settings of one machine, and how they apply to a job. Plain data, without pydantic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .findings import Finding, settle
from .settings import AUTO
from .site_data import BUILT_IN, SettingRow, SiteData

if TYPE_CHECKING:
    from ..job import Job
    from .completion import Completion


class Site(SiteData):
    """One machine: which platform and launcher, and what jobs there need. See `docs/how-to/sites.md` for the values."""

    def completion(self, values: Mapping[str, Any]) -> Completion:
        """The fields of a `Job`: `values`, filled up from the site, and all that is wrong with what is asked.

        None in `values` stands for "not set", and an empty text or list in its parameters takes the site's away. A queue
        `auto` becomes the best one for the job.
        """
        from ..job import field_value
        from .completion import completed
        from .matching import with_best_queue

        given = {name: value if value is None else field_value(name, value) for name, value in values.items()}
        chosen, findings = with_best_queue(self, given)
        completion = completed(self, chosen)
        if findings:
            fields = {**completion.fields, "queue_name": AUTO}
            completion = completion._replace(fields=fields, findings=(*findings, *completion.findings), queues=())
        return completion

    def complete(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of a `Job`, as `completion` gives them.

        A field or environment variable in `values` wins over the site's; parameters that are lists join; the site's
        setup comes before the job's. Raises `InvalidRequest`, with everything at once, for what the site refuses in
        what is asked: see `check` for the limits of the queue.
        """
        completion = self.completion(values)
        settle(finding for finding in completion.findings if finding.level == "refuse")
        return completion.fields

    def check(self, job: Job) -> list[Finding]:
        """What the limits of the job's queues and nodes say to it, all of it; nothing where the site knows none."""
        from .matching import limits

        return list(limits(self, job))


_BUILT_IN: dict[str, Any] = {
    "name": "laptop",
    "description": "This host alone: jobs queue for its cores",
    "platform": "local",
}
#: The site of a host that no file describes: the same as `configs/laptop.toml`, without reading it.
LAPTOP = Site(
    **_BUILT_IN,
    rows=[SettingRow(key, value, BUILT_IN) for key, value in _BUILT_IN.items()],
    origins={(key,): BUILT_IN for key in _BUILT_IN},
)
