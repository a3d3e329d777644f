"""Launch lines: functions of a run's shape, and lists of templates that sites write; both are checked alike."""

from __future__ import annotations

import subprocess
import sys

import pytest

from psij_parsl.errors import InvalidRequest, TemplateError
from psij_parsl.job_size import Resources
from psij_parsl.runs import argument_template
from psij_parsl.runs.launch_line import Args, RunShape, arguments, check_line, each, names_hosts, names_program, when

TWO = RunShape.of(Resources(num_nodes=2, ranks_per_node=4), hosts=["nid00012", "nid00113"])
WHOLE = RunShape.of(Resources(num_nodes=2, ranks_per_node=4))


def function(run: RunShape) -> Args:
    return ["run", "-n", run.num_ranks, *when(run.hosts, "-w", run.hosts), *each("-x", run.env_names)]


TEMPLATES = [
    "run",
    "-n",
    "{{ num_ranks }}",
    "{% if hosts %}-w{% endif %}",
    "{{ hosts }}",
    "{{ each('-x', env_names) }}",
]


@pytest.mark.parametrize("line", [function, TEMPLATES])
def test_a_function_and_templates_give_the_same_elements(line: object) -> None:
    assert arguments(line, TWO) == ["run", "-n", "8", "-w", "nid00012,nid00113"]  # type: ignore[arg-type]
    assert arguments(line, WHOLE) == ["run", "-n", "8"]  # type: ignore[arg-type]
    assert names_hosts(line)  # type: ignore[arg-type]
    assert names_program(line, "run")  # type: ignore[arg-type]
    assert not names_program(line, "srun")  # type: ignore[arg-type]
    check_line("a line", line)  # type: ignore[arg-type]


def test_a_shape_tells_hosts_in_every_form_that_launchers_want() -> None:
    assert (TWO.hosts, TWO.slots, TWO.nids) == ("nid00012,nid00113", "nid00012:4,nid00113:4", "12,113")


def test_no_value_is_split_or_dropped() -> None:
    run = RunShape.of(Resources(), name="a b")
    assert arguments(lambda run: ["x", run.name, ""], run) == ["x", "a b", ""]
    assert arguments(["x", "{{ name }}"], run) == ["x", "a b"]


def test_each_gives_an_option_before_every_name() -> None:
    line = ["run", "{{ each('-x', env_names) }}", "{{ hosts }}"]
    expected = ["run", "-x", "A", "-x", "B", "n1"]
    assert argument_template.rendered(line, {"env_names": ["A", "B"], "hosts": "n1"}) == expected
    assert argument_template.used(line) == {"env_names", "hosts"}
    assert each("-x", ["A", "B"]) == ["-x", "A", "-x", "B"]


MISSPELT = [
    lambda run: ["run", run.num_rank],
    lambda run: ["run", run.num_ranks, *when(run.hosts, run.host)],
    lambda run: ["run", run.num_ranks] if not run.hosts else ["run", run.num_ranks, run.slot],
    ["run", "{{ num_rank }}"],
    ["run", "{{ num_ranks }}", "{% if hosts %}{{ slot }}{% endif %}"],
]


@pytest.mark.parametrize("line", MISSPELT)
def test_a_name_that_nothing_gives_is_refused_with_the_nearest(line: object) -> None:
    with pytest.raises(TemplateError, match=r"x.mpi uses '\w+', which nothing gives.*did you mean"):
        check_line("x.mpi", line)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "line", [lambda run: ["run", *when(run.hosts, "-w", run.hosts)], lambda run: ["run"], ["run"]]
)
def test_a_line_that_does_not_say_how_many_ranks_is_refused(line: object) -> None:
    with pytest.raises(TemplateError, match="x.mpi never says how many ranks"):
        check_line("x.mpi", line)  # type: ignore[arg-type]


def test_a_line_may_refuse_what_it_cannot_start() -> None:
    def alone(run: RunShape) -> Args:
        if run.hosts or run.num_ranks > 1:
            raise InvalidRequest("one rank")
        return []

    check_line("x.mpi", alone)
    assert not names_hosts(alone)
    assert not names_program(alone, "run")


def test_an_error_of_a_functions_own_is_not_taken_for_a_name() -> None:
    with pytest.raises(AttributeError, match="'list' object has no attribute 'push'"):
        check_line("x.mpi", lambda run: [].push(run.num_ranks))  # type: ignore[attr-defined]


def test_jinja2_is_loaded_for_templates_alone() -> None:
    text = """
import sys
from psij_parsl.job_size import Resources
from psij_parsl.runs.registry import launchers
shape = Resources(ranks_per_node=2)
for name, method in launchers():
    if name not in ("single", "mpiexec"):
        method().argv(shape)
    if name != "single":
        method().lines(shape) + method().text(shape)
assert "jinja2" not in sys.modules
launchers and method(lines={"mpi": ["x", "{{ num_ranks }}"]}).argv(shape)
assert "jinja2" in sys.modules
"""
    subprocess.run([sys.executable, "-c", text], check=True)
