"""Which Flux instance commands talk to, how Flux is recognised on a host, and what its option lines can say."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from psij_parsl import sites
from psij_parsl.errors import InvalidRequest
from psij_parsl.platforms.command_owners import ask
from psij_parsl.platforms.registry import manager, platform, platforms
from psij_parsl.providers.flux.scheduler import FluxScheduler
from psij_parsl.providers.flux.template import FluxTemplate
from psij_parsl.testing.replay import Recorded
from tests.cli.helpers import psij_here
from tests.simulated.server import Simulated

RECORDED = Path(__file__).parents[2] / "recorded" / "flux"


# ---- the instance ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "key"),
    [
        (None, ""),
        ("local:///run/flux/local", ""),  # the system's own, which is the one without a variable
        ("local:///run/flux/local-0", ""),
        ("local:///tmp/flux-dxL0fH/local-0", "FLUX_URI=local:///tmp/flux-dxL0fH/local"),
        ("local:///tmp/flux-dxL0fH/local-3", "FLUX_URI=local:///tmp/flux-dxL0fH/local"),  # another broker of it
        ("ssh://node01/tmp/flux-dxL0fH/local-0", "FLUX_URI=ssh://node01/tmp/flux-dxL0fH/local"),
    ],
)
def test_each_instance_is_a_cluster_of_its_own(uri: str | None, key: str) -> None:
    environ = {"FLUX_MODULE_PATH": "/opt/flux/lib"} | ({"FLUX_URI": uri} if uri else {})
    assert FluxScheduler().cluster_key(environ) == key


@pytest.mark.parametrize("name", ["env-2node-batch", "env-2node-submit"])
def test_what_belongs_to_a_job_does_not_reach_one_that_it_submits(name: str) -> None:
    from psij_parsl.jobs.job_environment import inherited

    lines = Recorded.read(RECORDED / f"{name}.txt").output.stdout.splitlines()
    environ = dict(line.removeprefix("0: ").split("=", 1) for line in lines if "=" in line and "ERROR" not in line)
    kept = inherited(FluxScheduler.drop_env, environ)
    assert {"FLUX_CONNECTOR_PATH", "PATH", "LUA_PATH"} <= kept.keys()
    own = ("FLUX_URI", "FLUX_JOB", "FLUX_TASK", "FLUX_ENCLOSING_ID", "FLUX_KVS_NAMESPACE", "PMI_", "OMPI_MCA_btl")
    assert not [variable for variable in kept if variable.startswith(own)]
    assert FluxScheduler().given(environ)["FLUX_URI"] == environ["FLUX_URI"]


# ---- recognised --------------------------------------------------------------------------------------------------


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """What stands for / of a host on which nothing is."""
    path = tmp_path / "root"
    path.mkdir()
    monkeypatch.setenv("PSIJ_PARSL_SYSROOT", str(path))
    monkeypatch.delenv("FLUX_URI", raising=False)
    return path


def test_a_host_with_flux_alone_is_a_flux_machine(
    root: Path, flux: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = flux.bin / "flux"
    assert sites.look().site == ("flux", f"its flux answers, flux is {command}")
    monkeypatch.setenv("FLUX_URI", "local:///tmp/flux-x/local-0")
    assert sites.look().site == ("flux", f"$FLUX_URI is local:///tmp/flux-x/local-0, flux is {command}")
    monkeypatch.delenv("FLUX_URI")
    (root / "run" / "flux").mkdir(parents=True)
    (root / "run" / "flux" / "local").touch()
    assert sites.look().site == ("flux", f"/run/flux/local exists, flux is {command}")


def test_a_flux_that_reaches_no_instance_is_not_at_home(root: Path, flux: Simulated) -> None:
    flux.control(server="down")
    seen = sites.look()
    assert not seen.site
    assert "Flux is here" in seen.remark
    assert "Unable to connect to Flux" in seen.remark


def test_another_program_of_that_name_is_not_taken_for_it(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = tmp_path / "bin" / "flux"
    command.parent.mkdir()
    command.write_text("#!/bin/sh\necho flux version 2.4.0\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}:{os.environ['PATH']}")
    assert [owner.product for owner in ask(FluxScheduler())] == [""]
    assert not sites.look().site


def test_the_commands_owner_is_named(root: Path, flux: Simulated, tmp_path: Path) -> None:
    said = psij_here("doctor", PSIJ_PARSL_HOME=str(tmp_path / "state")).stdout
    assert str(flux.bin / "flux") in said
    assert [owner.product for owner in ask(FluxScheduler())] == ["Flux"]


def test_it_is_a_platform_and_still_a_manager_whose_jobs_are_known() -> None:
    assert "flux" in dict(platforms(plugins=False))
    assert manager("flux") is platform("flux")
    assert manager("flux").job_variable == "FLUX_URI"


# ---- option lines ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("plain-word", "plain-word"),
        ("two words", '"two words"'),
        ("it's", '"it\'s"'),
        ('say "x"', '"say \\"x\\""'),
        ("a\\b", '"a\\\\b"'),
        ("a|b&(c)", '"a|b&(c)"'),
    ],
)
def test_values_are_quoted_as_flux_reads_them(text: str, quoted: str) -> None:
    assert FluxTemplate.directive_quote(text) == quoted


@pytest.mark.parametrize("text", ["x'''y", "''y", "y''"])
def test_three_quotes_in_a_row_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="three quotes"):
        FluxTemplate.directive_quote(text)
    assert FluxTemplate.log_path("/spool/x'''y/6fsndjdcrf") == "/dev/null"


def test_the_log_is_not_in_a_folder_whose_name_flux_would_expand() -> None:
    assert FluxTemplate.log_path("/spool/it's/6fsndjdcrf") == "/spool/it's/6fsndjdcrf/manager.log"
    assert FluxTemplate.log_path("/spool/{{id}}/6fsndjdcrf") == "/dev/null"


@pytest.mark.parametrize(
    ("parameter", "value", "says"),
    [
        ("attributes", "system.bank=x", "parameter of its own"),
        ("attributes", "duration=5", "parameter of its own"),
        ("attributes", "attributes.system.queue=x", "parameter of its own"),
        ("attributes", "system.x=a b", "plain characters"),
        ("shell_options", "output.stdout.path=x", "where input and output are"),
        ("urgency", "0", "1 to 31"),
        ("requires", 'hosts:"x"', "constraints"),
    ],
)
def test_what_the_script_says_itself_is_refused(parameter: str, value: str, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        FluxTemplate.params[parameter].convert([value] if parameter in ("attributes", "shell_options") else value)
