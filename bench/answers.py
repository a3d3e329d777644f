"""A status answer of many jobs for each manager: one recorded job (of LSF and Cobalt: one by their documentation), again
and again with other ids."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from psij_parsl.platforms.tools import user_name

_TESTS = Path(__file__).parents[1] / "tests"
_COBALT = """\
JobID: 7
    State      : running
    Location   : 3834-3835,3840
    SubmitTime : Thu Nov 05 17:29:30 2020 +0000 (UTC)
    StartTime  : Thu Nov 05 11:31:00 2020 -0600 (CST)
    WallTime   : 00:30:00
    OutputPath : /home/alice/psij/jobs/0abc/manager.log
    Envs       : PSIJ_JOB_TAG=psij.0abc
    Index      : None

"""


@dataclass(frozen=True)
class Sample:
    """How a manager's answer is made of one job in it."""

    file: str  #: where an answer with the job is; '' where `unit` is the job itself
    unit: str  #: a pattern of the job in the answer
    number: str  #: the job's number in it, or a pattern of it
    tag: tuple[str, str]  #: what stands in it, and what makes the job ours; `{ours}` is our id
    owner: str = ""  #: its owner, who becomes us
    head: str = ""
    between: str = ""
    tail: str = ""
    native: Callable[[int], str] = str  #: the id of the job with that number


def _flux_id(number: int) -> str:
    from psij_parsl.providers.flux.scheduler import FluxScheduler

    return FluxScheduler().job_id(f"{number}\n") or str(number)


SAMPLES: Mapping[str, Sample] = {
    "cobalt": Sample("", _COBALT, r"(?<=JobID: )7", ("0abc", "{ours}")),
    "flux": Sample(
        "recorded/flux/running.jobs-json.txt",
        r"\{.*\}",
        r"1042737528832",
        ('"name": "sleep"', '"name": "sleep.psij:{ours}"'),
        head='{"jobs": [',
        between=", ",
        tail="]}\n",
        native=_flux_id,
    ),
    "gridengine": Sample(
        "recorded/gridengine/running.qstat-xml.txt",
        r" *<job_list state=\"running\">.*?</job_list>\n",
        r"56(?=<)",
        ("<JB_name>sleep", "<JB_name>sleep.psij.{ours}"),
        "alice",
        "<?xml version='1.0'?>\n<job_info>\n  <queue_info>\n",
        "",
        "  </queue_info>\n  <job_info>\n  </job_info>\n</job_info>\n",
    ),
    "htcondor": Sample(
        "recorded/htcondor/queue-json.txt",
        r"\{\n.*?\n\}\n",
        r"(?<=\"ClusterId\": )1",
        ("psij:ok", "psij:{ours}"),
        "alice",
        "[\n",
        ",\n",
        "]\n",
        lambda number: f"{number}.0",
    ),
    "lsf": Sample(
        "documented/lsf/bjobs/running.txt",
        r"205\^[^\n]*\n",
        r"^205",
        ("0g5z3kw1ab", "{ours}"),
        head="JOBID^JOBINDEX^STAT^EXIT_CODE^EXIT_REASON^SUBMIT_TIME^START_TIME^FINISH_TIME^EXEC_HOST^OUTPUT_FILE"
        "^JOB_DESCRIPTION^QUEUE\n",
    ),
    "oar": Sample(
        "recorded/oar/running-json.txt",
        r'   "8" : \{.*?\n   \}',
        r'(?<=")8(?=")|(?<="Job_Id" : )8|(?<="array_id" : )8',
        ('"name" : "long"', '"name" : "long.psij:{ours}"'),
        "broar",
        "{\n",
        ",\n",
        "\n}\n",
    ),
    "torque": Sample(
        "recorded/torque/running-xml.txt",
        r"<Job><Job_Id>5\.tq1.*?</Job>",
        r"5(?=\.tq1<)",
        ("PBS_O_QUEUE=batch", "PBS_O_QUEUE=batch,PSIJ_JOB_TAG=psij:{ours}"),
        "torq",
        '<?xml version="1.0"?>\n<Data>',
        "",
        "</Data>\n",
        lambda number: f"{number}.tq1",
    ),
}


def answer(platform: str, ids: Mapping[int, str]) -> str:
    """What the manager would print of jobs with those numbers, all of them ours: number -> our id."""
    sample = SAMPLES[platform]
    unit = sample.unit
    if sample.file:
        text = (_TESTS / sample.file).read_text().partition("#--stdout--\n")[2].rpartition("#--stderr--\n")[0]
        found = re.search(sample.unit, text, re.DOTALL)
        assert found, f"{sample.file} has no such job"
        unit = found[0]
    if sample.owner:
        unit = re.sub(rf"\b{sample.owner}\b", user_name(), unit)
    before, after = sample.tag
    assert before in unit, f"{sample.file} has no {before}"
    template = re.sub(sample.number, "\0", unit).replace(before, after)
    jobs = (template.replace("\0", str(number)).replace("{ours}", ours) for number, ours in ids.items())
    return sample.head + sample.between.join(jobs) + sample.tail
