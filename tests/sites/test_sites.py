"""Sites: found in layers, built on each other, recognised, validated, and used."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import pytest

from psij_parsl import site, sites
from psij_parsl.errors import InvalidRequest, SiteError
from psij_parsl.job import Job
from psij_parsl.jobs.site_executor import executor_of
from psij_parsl.resources import Hardware
from psij_parsl.sites import LAPTOP, Finding, Site
from psij_parsl.sites.catalogue import Catalogue
from psij_parsl.sites.generic import plain_site
from psij_parsl.sites.layers import PACKAGE

ROOT = Path(__file__).parents[2]
SHIPPED = sorted(path.stem for path in PACKAGE.glob("*.toml"))
Write = Callable[..., Path]


class Host:
    """A host with no site files but the package's; `write` adds one to a layer."""

    def __init__(self, base: Path) -> None:
        self.layers = {name: base / name for name in ("system", "first", "second", "user", "elsewhere")}
        self.layers["user"] = base / "config" / "psij_parsl" / "sites"
        self.root = base / "root"
        self.layers["system"] = self.root / "etc" / "psij_parsl" / "sites"
        for path in self.layers.values():
            path.mkdir(parents=True)
        self.environ = {
            "PATH": os.environ["PATH"],
            "PSIJ_PARSL_SYSROOT": str(self.root),
            "XDG_CONFIG_HOME": str(base / "config"),
            "PSIJ_PARSL_SITE_PATH": f"{self.layers['first']}:{self.layers['second']}:{base / 'absent'}",
        }

    def write(self, layer: str, name: str, text: str) -> Path:
        path = self.layers[layer] / f"{name}.toml"
        path.write_text(text)
        return path

    def find(self, name: str | None = None, file: Path | None = None, **environ: str) -> Site:
        return sites.find(name, file, environ={**self.environ, **environ})

    def error(self, name: str | None = None, file: Path | None = None, **environ: str) -> SiteError:
        with pytest.raises(SiteError) as caught:
            self.find(name, file, **environ)
        return caught.value

    def detected(self, **environ: str) -> str | None:
        found = sites.detect(environ={**self.environ, **environ})
        return found and found.name


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    made = Host(tmp_path)
    monkeypatch.setattr("os.uname", lambda: SimpleNamespace(nodename="login1.example.org"))
    return made


# ---- layers ------------------------------------------------------------------------------------------------


def test_a_higher_layer_replaces_the_same_site_of_a_lower_one(host: Host) -> None:
    for layer in ("system", "second", "first", "user"):
        host.write(layer, "slurm", f'platform = "slurm"\ndescription = "{layer}"')
        assert host.find("slurm").description == layer
        assert host.find("slurm").launcher is None  # not merged: it did not say `extends`
    named = host.write("elsewhere", "slurm", 'platform = "local"')
    assert host.find("local", named).platform == "local"


def test_a_site_can_have_another_name_than_its_file(host: Host) -> None:
    host.write("user", "file", 'name = "machine"\nplatform = "slurm"')
    assert host.find("machine").name == "machine"
    assert "there is no site 'file'" in str(host.error("file"))


def test_two_files_of_one_directory_cannot_be_the_same_site(host: Host) -> None:
    host.write("user", "one", 'platform = "slurm"')
    host.write("user", "two", 'name = "one"\nplatform = "slurm"')
    assert "described twice" in str(host.error("one"))
    assert "one.toml and two.toml" in str(host.error("one"))


def test_a_directory_given_twice_counts_once(host: Host) -> None:
    host.write("first", "mine", 'platform = "slurm"')
    path = str(host.layers["first"])
    assert host.find("mine", PSIJ_PARSL_SITE_PATH=f"{path}:{path}/").name == "mine"


def test_only_toml_files_are_looked_at(host: Host) -> None:
    (host.layers["user"] / "mine.toml~").write_text("old")
    (host.layers["user"] / ".mine.toml").write_text("hidden")
    assert list(sites.installed(environ=host.environ)) == SHIPPED


def test_the_user_directory_is_below_home_by_default(host: Host, tmp_path: Path) -> None:
    path = tmp_path / ".config" / "psij_parsl" / "sites"
    path.mkdir(parents=True)
    (path / "mine.toml").write_text('platform = "local"')
    assert sites.find("mine", environ={"HOME": str(tmp_path)}).platform == "local"


# ---- extends -----------------------------------------------------------------------------------------------


def test_tables_merge_and_lists_replace_and_every_value_knows_its_line(host: Host) -> None:
    low = host.write(
        "system",
        "base",
        'platform = "slurm"\nsetup = ["a", "b"]\n\n[defaults]\nqueue = "short"\nnum_nodes = 2\n\n'
        "[queues.short]\nmax_nodes = 4\n[queues.long]\nmax_nodes = 9\n",
    )
    high = host.write(
        "user",
        "mine",
        'extends = "base"\nsetup = ["c"]\ndefaults.queue = "long"\n\n'
        '[queues."long"]\nstrict = true\n[queues."x.y"]\n',
    )
    site = host.find("mine")
    assert site.setup == ("c",)
    assert site.defaults == {"num_nodes": 2, "queue": "long"}
    assert {name: (queue.max_nodes, queue.strict) for name, queue in site.queues.items()} == {
        "short": (4, False),
        "long": (9, True),
        "x.y": (None, False),
    }
    assert site.origin("platform") == f"{low}:1"
    assert site.origin("setup") == f"{high}:2"
    assert site.origin(("setup", 0)) == f"{high}:2"
    assert site.origin(("setup", 1)) == "default"  # replaced with its list
    assert site.origin("defaults.queue") == f"{high}:3"
    assert site.origin("defaults.num_nodes") == f"{low}:6"
    assert site.origin("queues.long.max_nodes") == f"{low}:11"
    assert site.origin("queues.long.strict") == f"{high}:6"
    assert site.origin(("queues", "x.y")) == f"{high}:7"
    assert site.origin("defaults.project") == "default"
    assert site.origin("name") == str(high)


def test_another_way_to_say_the_same_replaces_what_is_built_on(host: Host) -> None:
    low = 'platform = "slurm"\n[node]\ncpus = 4\n[queues.q]\nmax_nodes = 4\nmax_wall_time_min = 60\nstrict = true\n'
    host.write("system", "base", low)
    tiers = "tiers = [{ max_nodes = 2, max_time = '2h' }]"
    path = host.write("user", "mine", f'extends = "base"\n[nodes.a]\ncpus = 8\n[queues.q]\n{tiers}\n')
    site = host.find("mine")
    assert ([*site.node_types], site.queues["q"].max_nodes, site.queues["q"].max_time_min) == (["a"], 2, 120)
    assert site.queues["q"].strict
    assert site.origin("queues.q.max_nodes") == "default"
    assert site.origin("queues.q.tiers") == f"{path}:5"
    host.write("user", "mine", 'extends = "base"\n[queues.q]\nmax_time = "3h"\n')
    assert (host.find("mine").queues["q"].max_nodes, host.find("mine").queues["q"].max_time_min) == (4, 180)
    host.write("user", "mine", f'extends = "base"\n[queues.q]\nmax_nodes = 1\n{tiers}\n')
    assert "has tiers and max_nodes, which belongs in them" in str(host.error("mine"))


def test_an_empty_table_replaces_nothing(host: Host) -> None:
    host.write("system", "base", 'platform = "slurm"\n[node]\ncpus = 4\n')
    host.write("user", "mine", 'extends = "base"\n[nodes]\n')
    assert host.find("mine").node_types[""].hardware.cpus == 4


def test_tables_of_such_names_are_not_replaced(host: Host) -> None:
    host.write("system", "base", 'platform = "slurm"\n[queues.node]\n[queues.max_nodes]\n[environment]\nnode = "1"\n')
    host.write("user", "mine", 'extends = "base"\n[queues.nodes]\n[queues.tiers]\n[environment]\nnodes = "2"\n')
    site = host.find("mine")
    assert [*site.queues] == ["node", "max_nodes", "nodes", "tiers"]
    assert site.environment == {"node": "1", "nodes": "2"}


def test_a_file_can_build_on_the_lower_layers_file_of_its_own_name(host: Host) -> None:
    host.write("system", "slurm", 'extends = "slurm"\nsetup = ["system"]')
    host.write("user", "slurm", 'extends = "slurm"\n[defaults]\nproject = "astro"')
    site = host.find("slurm")
    assert (site.launcher, site.setup, site.defaults) == ("srun", ("system",), {"project": "astro"})
    assert site.origin("launcher") == f"{PACKAGE / 'slurm.toml'}:7"
    named = host.write("elsewhere", "slurm", 'extends = "slurm"\ndescription = "by hand"')
    assert host.find(file=named).defaults == {"project": "astro"}


def test_a_source_holds_for_the_values_of_its_own_file(host: Host) -> None:
    below = 'platform = "slurm"\n[sources]\nguide = "the guide"\n[queues.q]\nsource = "guide"\nmax_nodes = 4\nmax_time = 60\n'
    host.write("system", "base", below)
    host.write("user", "mine", 'extends = "base"\n[queues.q]\nmax_nodes = 2\n')
    found = host.find("mine")
    assert found.source("queues.q.max_time") == "the guide"
    assert found.source("queues.q.max_nodes") == ""
    assert found.source("platform") == ""


def test_a_value_of_another_kind_replaces_a_whole_table(host: Host) -> None:
    host.write("system", "base", 'platform = "slurm"\n[parameters]\nx = { a = 1 }')
    path = host.write("user", "mine", 'extends = "base"\nparameters.x = 2')
    site = host.find("mine")
    assert site.parameters == {"x": 2}
    assert site.origin("parameters.x") == f"{path}:2"
    assert site.origin("parameters.x.a") == "default"


def test_a_cycle_is_an_error_that_names_the_chain(host: Host) -> None:
    paths = [host.write("user", name, f'extends = "{other}"') for name, other in ("ab", "bc", "ca")]
    message = str(host.error("a"))
    assert f"a ({paths[0]}) extends b ({paths[1]}) extends c ({paths[2]}) extends a ({paths[0]})" in message
    assert message.startswith(f"{paths[2]}:1: ")


def test_extending_what_is_not_there_is_told_with_the_other_faults(host: Host) -> None:
    path = host.write("user", "mine", 'colour = 1\nextends = "slum"')
    message = str(host.error("mine"))
    assert f"{path}:1: colour: there is no such key" in message
    assert f"{path}:2: extends: there is no site 'slum' (did you mean 'slurm'?)" in message
    assert "platform" not in message.replace("known:", "").partition("colour")[0]
    host.write("user", "alone", 'extends = "alone"')
    assert "no lower layer has a site 'alone'" in str(host.error("alone"))


def test_extending_a_broken_file_says_which(host: Host) -> None:
    broken = host.write("system", "base", "platform = slurm")
    path = host.write("user", "mine", 'extends = "base"')
    assert str(host.error("mine")).startswith(f"{path}:1: extends: base cannot be used: {broken}:1:12: ")


# ---- faults ------------------------------------------------------------------------------------------------

FAULTY = """\
platfrom = "slurm"
poll_min = "30"
queue = "short"
setup = "module load x"
[defaults]
num_nodes = "two"
ranks_per_node = 0
wall_time_min = "soon"
memory_per_node = 0
job_mode = "mip"
project = "a b"
projct = 1
[environment]
1A = "secret"
B = [1]
[queues.short]
max_node = 4
min_nodes = true
[[detect]]
hostname = "("
[[detect]]
file = "relative"
[[detect]]
"""


def test_all_faults_are_told_at_once_with_line_key_and_nearest_name(host: Host) -> None:
    path = host.write("user", "bad", FAULTY)
    message = host.error("bad").message.replace(str(path), "X")
    assert message.splitlines() == [
        "the site 'bad' has 19 faults:",
        "  X: platform: is missing",
        "  X:1: platfrom: there is no such key (did you mean 'platform'?)",
        "  X:2: poll_min: must say its unit, e.g. 30s or 1m, not '30'",
        "  X:3: queue: there is no such key (it belongs in the table [defaults])",
        "  X:4: setup: must be a list, not 'module load x'",
        "  X:6: defaults.num_nodes: must be a whole number, not 'two'",
        "  X:7: defaults.ranks_per_node: must be 1 or more, not 0",
        "  X:8: defaults.wall_time_min: must be a duration such as 90 (minutes), 1h30m, 1:30:00 (H:M:S) or 2-12"
        " (days-hours), not 'soon'",
        "  X:9: defaults.memory_per_node: must be a memory size above 0 such as 4G or 512MB (a bare number is MB),"
        " not 0",
        "  X:10: defaults.job_mode: must be 'script', 'serial' or 'mpi', not 'mip' (did you mean 'mpi'?)",
        "  X:11: defaults.project: must be a plain word: letters, digits and ._-+:=@%/,, not 'a b'",
        "  X:12: defaults.projct: there is no such key (did you mean 'project'?)",
        "  X:14: environment.1A: cannot be the name of an environment variable: letters, digits and _ only",
        "  X:15: environment.B: must be text",
        "  X:17: queues.short.max_node: there is no such key (did you mean 'max_nodes'?)",
        "  X:18: queues.short.min_nodes: must be a whole number, not true",
        "  X:20: detect.0.hostname: must be a regular expression: missing ), unterminated subpattern at position 0,"
        " not '('",
        "  X:22: detect.1.file: must be an absolute path, not 'relative'",
        "  X:23: detect.2: must have exactly one of env, cluster, hostname, file, manager",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('platform = "slurmm"', ":1: platform: there is no platform 'slurmm' (did you mean 'slurm'?)"),
        ('platform = "slurm"\nlauncher = "srn"', ":2: launcher: there is no launcher 'srn' (did you mean 'srun'?)"),
        ('platform = "slurm"\ndefaults = 3', ":2: defaults: must be a table, not 3"),
        ('platform = "slurm"\nparameters.a-b = 3', ":2: parameters.a-b: cannot be a parameter's name"),
        ('platform = "slurm"\nname = 3', ":2: name: must be text, not 3"),
        ('platform = "slurm"\nextends = ["x"]', ":2: extends: must be text, not a list"),
        (
            'platform = "slurm"\ndetect = [{}]',
            ":2: detect.0: must have exactly one of env, cluster, hostname, file, manager",
        ),
        (
            'platform = "slurm"\n[queues.q]\nmin_nodes = 3\nmax_nodes = 2',
            ":2: queues.q: has min_nodes 3 above max_nodes 2",
        ),
        (
            'platform = "slurm"\n[queues]\na.default = true\nb.default = true',
            ":4: queues.b.default: there can be one default queue, and a is one already",
        ),
        (
            'platform = "slurm"\nforbidden = ["project"]\ndefaults.project = "x"',
            ":2: forbidden: project cannot be forbidden and given or required at once",
        ),
        (
            'platform = "slurm"\nnode.blocked = "0-x"',
            ":2: node.blocked: must be CPU ids such as 0-7,64-71, not '0-x'",
        ),
        ('platform = "slurm"\nnode.gpus = -1', ":2: node.gpus: "),
        (
            'platform = "slurm"\n[node]\ncpus = 7\nthreads_per_core = 2',
            ":2: node: has 7 CPUs, which are no whole cores",
        ),
        (
            'platform = "slurm"\n[node]\ngpus = 2\ngpu_cpus = { 2 = "0" }',
            ":2: node: has CPUs near to GPU 2, which is not",
        ),
        ("platform = slurm", ":1:12: "),
        ("platform = [", "at the end of the file (this is not TOML"),
        ("x = " + "[" * 5000, "lists or tables are nested too deeply"),
    ],
)
def test_a_fault_is_one_sentence_with_its_place(host: Host, text: str, said: str) -> None:
    path = host.write("user", "bad", text)
    message = str(host.error("bad"))
    assert message.startswith(str(path))
    assert said in message
    assert "\n" not in message


def test_a_fault_is_told_where_it_stands_not_where_it_is_built_on(host: Host) -> None:
    base = host.write("system", "base", 'platform = "slurm"\ncolour = "red"')
    host.write("user", "mine", '\n\n\nextends = "base"')
    assert str(host.error("mine")).startswith(f"{base}:2: colour: ")


def test_a_broken_file_disables_its_own_site_and_no_other(host: Host) -> None:
    host.write("system", "mine", 'platform = "slurm"')
    host.write("user", "mine", "platform")
    (host.layers["user"] / "bytes.toml").write_bytes(b"# caf\xe9\n")
    (host.layers["user"] / "lost.toml").symlink_to("nowhere")
    (host.layers["user"] / "folder.toml").mkdir()
    os.mkfifo(host.layers["user"] / "pipe.toml")
    found = sites.installed(environ=host.environ)
    assert list(found) == sorted(["bytes", "folder", "lost", "mine", "pipe", *SHIPPED])
    errors = {name: str(site) for name, site in found.items() if isinstance(site, SiteError)}
    assert sorted(errors) == ["bytes", "folder", "lost", "mine", "pipe"]  # the lower layer's `mine` does not step in
    assert "bytes.toml:1: this is not UTF-8" in errors["bytes"]
    assert "cannot be read: No such file" in errors["lost"]
    assert "no regular file" in errors["pipe"]
    assert "no regular file" in errors["folder"]
    assert host.find("slurm").launcher == "srun"


def test_unknown_names_are_told_with_the_nearest(host: Host) -> None:
    assert str(host.error("slum")) == "there is no site 'slum' (did you mean 'slurm'?)"
    assert "'slum', which $PSIJ_SITE names" in str(host.error(PSIJ_SITE="slum"))
    assert "absent.toml cannot be read: No such file" in str(host.error(file=Path("absent.toml")))


# ---- trust -------------------------------------------------------------------------------------------------


def test_a_file_that_everybody_can_write_is_refused(host: Host) -> None:
    path = host.write("user", "mine", 'platform = "slurm"')
    path.chmod(0o646)
    assert "mine.toml is refused: everybody can write to it" in str(host.error("mine"))
    assert f"chmod o-w {path}" in host.error("mine").hint
    path.chmod(0o664)
    assert host.find("mine").name == "mine"


def test_a_file_that_everybody_can_replace_is_refused(host: Host) -> None:
    host.write("first", "mine", 'platform = "slurm"')
    host.layers["first"].chmod(0o777)
    assert "everybody can replace files in" in str(host.error("mine"))
    host.layers["first"].chmod(0o1777)  # sticky, as /tmp is
    assert host.find("mine").name == "mine"


def test_a_file_of_another_user_is_refused(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.write("first", "mine", 'platform = "slurm"')
    real = os.fstat
    monkeypatch.setattr(os, "fstat", lambda handle: os.stat_result((*real(handle)[:4], 54321, *real(handle)[5:])))
    assert "it belongs to the user 54321, neither to you nor to root" in str(host.error("mine"))


# ---- detection ---------------------------------------------------------------------------------------------


def test_environment_comes_before_host_name_before_file(host: Host) -> None:
    (host.root / "opt").mkdir()
    host.write("first", "by-file", 'platform = "slurm"\ndetect = [{file = "/opt"}]')
    assert host.detected() == "by-file"
    host.write("first", "by-host", "platform = 'slurm'\ndetect = [{hostname = 'login\\d[.]example[.]org'}]")
    assert host.detected() == "by-host"
    host.write("first", "by-env", "platform = 'slurm'\n[[detect]]\nenv = {CLUSTER = 'x', REGION = 7}")
    assert host.detected(CLUSTER="x") == "by-host"  # all variables must agree
    assert host.detected(CLUSTER="x", REGION="7") == "by-env"
    assert sites.detect(environ=host.environ, hostname="login2.example.org") == (
        "by-host",
        r"the host name login2.example.org matches login\d[.]example[.]org",
    )


def test_a_host_name_matches_as_a_whole(host: Host) -> None:
    host.write("first", "part", "platform = 'slurm'\ndetect = [{hostname = 'login1'}]")
    assert host.detected() is None


def test_what_is_said_is_stronger_than_what_is_seen(host: Host) -> None:
    host.write("user", "seen", "platform = 'slurm'\ndetect = [{hostname = '.*'}]")
    host.write("user", "said", "platform = 'slurm'")
    named = host.write("elsewhere", "named", "platform = 'slurm'")
    assert host.find().name == "seen"
    assert host.find(PSIJ_SITE="said").name == "said"
    assert host.find("slurm", PSIJ_SITE="said").name == "slurm"
    assert host.find("slurm", named, PSIJ_SITE="said").name == "named"


def test_a_higher_layer_is_detected_first_and_one_layer_must_agree_with_itself(host: Host) -> None:
    rule = "platform = 'slurm'\ndetect = [{hostname = '.*'}]"
    host.write("first", "a", rule)
    host.write("user", "b", rule)
    assert host.detected() == "b"
    host.write("user", "c", rule)
    with pytest.raises(SiteError, match="looks like 2 sites of .*: b: .*; c: "):
        host.detected()


def test_signs_are_taken_over_from_the_same_name_only(host: Host) -> None:
    host.write("first", "machine", "platform = 'slurm'\ndetect = [{hostname = '.*'}]")
    host.write("user", "test", "extends = 'machine'\ndescription = 'variant'")
    assert host.detected() == "machine"
    host.write("user", "machine", "extends = 'machine'\ndescription = 'mine'")
    assert host.find().description == "mine"
    assert host.find("test").rows[-1].key == "platform"  # and no `detect`


def test_a_site_that_is_detected_and_faulty_is_an_error_not_the_fallback(host: Host) -> None:
    host.write("user", "mine", "platform = 'slurm'\ndetect = [{hostname = '.*'}]\n[defaults]\nqueu = 'x'")
    assert "defaults.queu" in str(host.error())


@pytest.mark.parametrize(
    ("tail", "mode", "fault"),
    [
        ("[queues", 0o644, "mine.toml:3"),
        ("", 0o666, "everybody can write to it"),
        ("[queues]\nx = 1", 0o644, "queues.x"),
    ],
    ids=["no TOML", "others can write", "a value"],
)
def test_from_the_host_of_a_file_that_cannot_be_used_no_job_goes_elsewhere(
    host: Host, monkeypatch: pytest.MonkeyPatch, tail: str, mode: int, fault: str
) -> None:
    path = host.write("user", "mine", f"platform = 'slurm'\ndetect = [{{hostname = 'login.*'}}]\n{tail}")
    path.chmod(mode)
    error = host.error()
    assert fault in error.message
    assert (
        "this host is mine, for the host name login1.example.org matches login.*; --site with another name"
        in error.hint
    )
    monkeypatch.setattr("os.uname", lambda: SimpleNamespace(nodename="other"))
    assert host.find().name == "laptop"


def test_a_file_that_cannot_be_read_is_passed_over_with_a_warning(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    host.write("user", "mine", "platform = 'slurm'\ndetect = [{hostname = '.*'}")
    with caplog.at_level(logging.WARNING):
        assert host.find().name == "laptop"
    assert "the site mine cannot be detected" in caplog.text


def test_signs_in_an_odd_place_are_seen(host: Host) -> None:
    host.write(
        "user", "mine", "platform = 'slurm'\nsetup = [\n'''\n[x]\n''']\ndetect = [\n{hostname = '.*'}]\n[defaults]"
    )
    assert host.detected() == "mine"


@pytest.mark.parametrize("name", ["slurm", "pbspro", "oar"])
def test_a_site_made_without_pydantic_is_the_same(host: Host, name: str) -> None:
    from psij_parsl.sites.validation import validated

    catalogue = Catalogue(host.environ)
    file = catalogue.top(name)
    assert file is not None
    found, same = plain_site(file), validated(file, catalogue.content(file))
    assert found is not None
    assert found == same
    assert found.rows == same.rows
    for key in ("name", "platform", "launcher", "spool", "queues.x.max_nodes"):
        assert found.origin(key) == same.origin(key)
    code = f"import sys; from psij_parsl.sites import find; find({name!r}); assert 'pydantic' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


# ---- the fallback ------------------------------------------------------------------------------------------


def test_the_fallback_is_the_package_s_laptop(host: Host) -> None:
    assert host.find() is LAPTOP
    assert host.find("laptop") is LAPTOP
    copy = host.write("elsewhere", "laptop", (PACKAGE / "laptop.toml").read_text())
    read = host.find(file=copy)
    assert LAPTOP.built_in
    assert not read.built_in
    assert replace(read, file="") == LAPTOP
    assert read.defaults == host.find().defaults == {}
    assert [(row.key, row.value) for row in read.rows] == [(row.key, row.value) for row in host.find().rows]


def test_a_laptop_file_of_one_s_own_is_used(host: Host) -> None:
    host.write("user", "laptop", 'extends = "laptop"\ndefaults.wall_time_min = "2h"')
    assert (host.find().platform, host.find().defaults) == ("local", {"wall_time_min": 120})


def test_a_host_without_a_site_pays_for_no_pydantic(tmp_path: Path) -> None:
    code = (
        "import sys; from psij_parsl.sites import find; site = find();"
        "site.complete({'command': ['x']}); site.check; print(site.name,"
        " [m for m in ('pydantic', 'parsl', 'jinja2', 'tomllib', 'filelock', 'importlib.metadata')"
        " if m in sys.modules])"
    )
    kept = {name: os.environ[name] for name in ("PATH", "PSIJ_PARSL_SYSROOT")}
    environ = {**kept, "HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout == "laptop ['tomllib']\n"  # the signs of the machines that are shipped are TOML


# ---- plug-ins ----------------------------------------------------------------------------------------------


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Installs a distribution with the entry points given, and a package `acme_sites` with one site."""

    def install(points: str) -> Path:
        place = tmp_path / "site-packages"
        info = place / "acme_sites-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-sites\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[psij_parsl.sites]\n{points}\n")
        package = place / "acme_sites"
        (package / "more").mkdir(parents=True)
        (package / "__init__.py").write_text("from pathlib import Path\nmore = Path(__file__).parent / 'more'\n")
        (package / "roadrunner.toml").write_text('extends = "slurm"\ndescription = "fast"\n')
        (package / "more" / "coyote.toml").write_text('platform = "local"\n')
        monkeypatch.syspath_prepend(place)
        monkeypatch.delitem(sys.modules, "acme_sites", raising=False)
        return package

    return install


def test_an_installed_package_can_bring_sites(host: Host, plugin: Callable[[str], Path]) -> None:
    package = plugin("acme = acme_sites\nmore = acme_sites:more")
    site = host.find("roadrunner")
    assert (site.description, site.launcher) == ("fast", "srun")
    assert site.origin("description") == f"{package / 'roadrunner.toml'}:2"
    assert host.find("coyote").platform == "local"
    host.write("system", "roadrunner", 'platform = "slurm"')
    assert host.find("roadrunner").description == ""


def test_a_broken_plug_in_spoils_no_other(host: Host, plugin: Callable[[str], Path]) -> None:
    plugin("acme = acme_sites\nbad = acme_sites:absent\nnone = no_such_module")
    found = sites.installed(environ=host.environ)
    assert list(found) == sorted(["bad", "none", "roadrunner", *SHIPPED])
    assert "ModuleNotFoundError" in str(found["none"])
    assert "AttributeError" in str(host.error("bad"))


# ---- use ---------------------------------------------------------------------------------------------------


@pytest.fixture
def cluster(host: Host) -> Site:
    """The site of docs/how-to/sites.md, as people read it there."""
    text = (ROOT / "docs" / "how-to" / "sites.md").read_text().split("```toml\n")[1].split("```")[0]
    host.write("user", "cluster", text)
    return host.find("cluster")


def test_the_documented_example_shows_as_it_was_written(cluster: Site, host: Host) -> None:
    path = str(host.layers["user"] / "cluster.toml")
    shown = "".join(f"{row.key} = {row.value!r}  # {row.origin.replace(path, 'F')}\n" for row in cluster.rows)
    assert shown == (
        "name = 'cluster'  # F\n"
        'description = "The department\'s cluster"  # F:2\n'
        "url = 'https://example.org/cluster'  # F:3\n"
        "platform = 'slurm'  # F:4\n"
        "launcher = 'srun'  # F:5\n"
        "poll_min = 30.0  # F:6\n"
        "spool = '$HOME/.psij'  # F:7\n"
        "setup = ['module load python']  # F:8\n"
        "required = ['project']  # F:9\n"
        "forbidden = ['memory_per_node']  # F:10\n"
        "detect = [{'env': {'CLUSTER_NAME': 'example'}}, "
        "{'hostname': 'login\\\\d+\\\\.cluster\\\\.example\\\\.org'}]  # F:11\n"
        "defaults.queue = 'short'  # F:17\n"
        "defaults.wall_time_min = 30  # F:18\n"
        "parameters.constraint = 'rome'  # F:21\n"
        "environment.OMP_PLACES = 'cores'  # F:24\n"
        "launch.options = ['--mpi=pmix']  # F:27\n"
        "queues.short.max_nodes = 4  # F:30\n"
        "queues.short.max_time = 60  # F:31\n"
        "queues.short.strict = True  # F:32\n"
        "queues.long.max_nodes = 64  # F:35\n"
        "queues.long.max_time = 2880  # F:36\n"
        "node.cpus = 128  # F:39\n"
        "node.threads_per_core = 2  # F:40\n"
        "node.gpus = ['0', '1', '2', '3']  # F:41\n"
        "node.memory = 524288  # F:42\n"
        "node.blocked = '0,64'  # F:43\n"
        "node.gpu_cpus.0 = '48-63,112-127'  # F:44\n"
        "node.gpu_cpus.1 = '32-47,96-111'  # F:44\n"
        "node.gpu_cpus.2 = '16-31,80-95'  # F:44\n"
        "node.gpu_cpus.3 = '1-15,65-79'  # F:44\n"
    )


def complete(site: Site, **given: Any) -> Job:
    return Job(**site.complete({"command": ["x"], "project": "p", **given}))


def test_a_job_is_filled_up_where_the_user_said_nothing(cluster: Site) -> None:
    job = complete(cluster, num_nodes=None)
    assert (job.queue, job.wall_time_min, job.num_nodes) == ("short", 30, 1)
    assert (job.parameters, job.environment) == ({"constraint": "rome"}, {"OMP_PLACES": "cores"})
    assert job.setup == ("module load python",)
    job = complete(
        cluster,
        queue="long",
        setup="mine",
        parameters={"constraint": "gpu", "qos": "q"},
        environment={"OMP_PLACES": "n"},
    )
    assert (job.queue, job.parameters) == ("long", {"constraint": "rome&gpu", "qos": "q"})
    assert (job.environment, job.setup) == ({"OMP_PLACES": "n"}, ("module load python", "mine"))


def test_an_executor_of_a_site_submits_a_job_as_it_is_and_complete_adds_the_sites_part_once(
    tmp_path: Path, home: Path
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('platform = "slurm"\nsetup = ["module load python"]\ndefaults.wall_time_min = "30m"\n')
    machine = site(file=file)
    plain = machine.executor().render(Job(command=["x"]))
    assert ("module load python" in plain, "--time=00:10:00" in plain) == (False, True)
    for minutes, asked in ((30, {}), (10, {"wall_time_min": 10})):
        filled = machine.executor().render(Job(**machine.complete({"command": ["x"], **asked})))
        assert (filled.count("module load python"), f"--time=00:{minutes}:00" in filled) == (1, True)


def test_what_is_required_and_what_is_forbidden_is_said_with_its_flag(cluster: Site, host: Host) -> None:
    path = host.layers["user"] / "cluster.toml"
    with pytest.raises(InvalidRequest) as error:
        complete(cluster, project=None)
    assert str(error.value) == (f"a job on cluster must say its project (give -A/--account; {path}:9 asks for it)")
    with pytest.raises(InvalidRequest) as error:
        complete(cluster, memory_per_node=5)
    assert str(error.value) == (
        f"a job on cluster must not ask for memory_per_node (leave out --mem; {path}:10 forbids it)"
    )


def test_parameters_can_be_required_and_forbidden(host: Host) -> None:
    host.write("user", "x", 'platform = "slurm"\nrequired = ["qos", "project"]\nforbidden = ["array", "gres"]')
    with pytest.raises(InvalidRequest, match="refused for 2 reasons:") as caught:
        host.find("x").complete({"command": ["x"]})
    assert re.search(
        r"must say its qos \(give -X qos=VALUE; .*must say its project \(give -A", str(caught.value), re.S
    )
    fine = {"command": ["x"], "project": "p", "parameters": {"qos": "q"}, "array": ()}
    assert host.find("x").complete(fine)["parameters"] == {"qos": "q"}
    with pytest.raises(InvalidRequest, match=r"(?s)2 reasons:.*must not ask for array .*must not ask for gres "):
        host.find("x").complete({**fine, "array": (1,), "parameters": {"qos": "q", "gres": "g"}})


@pytest.mark.parametrize(
    ("platform", "forbidden", "passed", "said"),
    [
        ("slurm", "gpus_per_rank", {"directives": ["--switches=2", "--gpus=2"]}, "--gpus=2"),
        ("slurm", "gpus_per_rank", {"directives": ["#SBATCH --contiguous", "#SBATCH --gpus=2"]}, "--gpus=2"),
        ("slurm", "gpus_per_node", {"gres": "gpu:2"}, "--gres=gpu:2"),
        ("slurm", "gres", {"directives": "--gres=gpu:1"}, "--gres=gpu:1"),
        ("slurm", "hold", {"directives": ("-H",)}, "-H"),
        ("pbspro", "memory_per_rank", {"resources": ["software=x", "pmem=2gb"]}, "-l pmem=2gb"),
        ("pbspro", "filesystems", {"resources": "a=b,filesystems=home"}, "-l filesystems=home"),
    ],
)
def test_what_is_forbidden_is_so_in_options_that_are_passed_on(
    host: Host, platform: str, forbidden: str, passed: dict[str, Any], said: str
) -> None:
    host.write("user", "x", f'platform = "{platform}"\nforbidden = ["{forbidden}"]')
    with pytest.raises(InvalidRequest, match=f"must not ask for {forbidden} .leave out {said}; "):
        host.find("x").complete({"command": ["x"], "parameters": passed})
    harmless = {name: value[:1] if isinstance(value, list) else "--contiguous" for name, value in passed.items()}
    if platform == "slurm":
        assert host.find("x").complete({"command": ["x"], "parameters": harmless})


def test_a_user_s_own_default_satisfies_what_is_required(cluster: Site, host: Host) -> None:
    host.write("elsewhere", "cluster", 'extends = "cluster"\n[defaults]\nproject = "astro"\n')
    site = host.find(file=host.layers["elsewhere"] / "cluster.toml")
    assert site.complete({"command": ["x"]})["project"] == "astro"


def test_limits_refuse_or_warn_and_say_what_would_do(cluster: Site, host: Host) -> None:
    path = host.layers["user"] / "cluster.toml"
    assert cluster.check(complete(cluster)) == []
    assert cluster.check(complete(cluster, num_nodes=5, wall_time_min=61)) == [
        Finding(
            "refuse",
            "nodes",
            "queue short takes at most 4 nodes, and the job asks for 5",
            f"long would take it; -N 4; see {path}:30",
        ),
        Finding(
            "refuse",
            "time",
            "queue short lets no job run longer than 1 h, and the job asks for 1 h 1 min",
            f"-t 60; see {path}:31",
        ),
    ]
    assert cluster.check(complete(cluster, queue="long", num_nodes=65)) == [
        Finding(
            "warn", "nodes", "queue long takes at most 64 nodes, and the job asks for 65", f"-N 64; see {path}:35"
        )
    ]
    unknown = cluster.completion({"command": ["x"], "project": "p", "queue": "lon"})
    assert unknown.findings == (
        Finding("warn", "queue", "cluster has no queue 'lon' that we know", "did you mean 'long'?"),
    )
    assert unknown.fields["queue"] == "lon"


def test_the_limits_of_the_manager_s_default_queue_are_known(host: Host) -> None:
    host.write("user", "x", 'platform = "slurm"\n[queues.main]\ndefault = true\nmin_nodes = 2\n[queues.b]')
    findings = host.find("x").check(Job(command=["x"]))
    assert [finding.text for finding in findings] == ["queue main takes jobs from 2 nodes on, and the job asks for 1"]
    assert host.find("x").complete({"command": ["x"]}).get("queue") is None
    assert host.find("slurm").check(Job(command=["x"], queue="any")) == []


def test_the_executor_is_the_site_s(cluster: Site, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    executor = executor_of(cluster)
    assert (executor.platform.name, executor.launcher, executor.site) == ("slurm", "srun", "cluster")
    assert (executor.spool, executor.snapshot.interval_s) == (Path("/home/someone/.psij"), 30.0)
    assert executor_of(cluster, grace_s=1.0, spool=Path("/x")).spool == Path("/x")
    assert (executor_of(host.find()).platform.name, executor_of(host.find()).spool) == ("local", None)


def test_the_hardware_of_the_nodes(host: Host) -> None:
    text = """
        platform = "slurm"
        node = { cpus = 8, threads_per_core = 2, gpus = 2, memory = "4 GB", blocked = "0,4", gpu_cpus = { 1 = "1,5" } }
    """
    host.write("user", "x", text)
    assert host.find("x").hardware() == Hardware(
        cpus=8,
        gpus=("0", "1"),
        memory=4096,
        blocked=frozenset({0, 4}),
        gpu_cpus={"1": (1, 5)},
        siblings=((0, 4), (1, 5), (2, 6), (3, 7)),
    )
    assert host.find("slurm").hardware() is None
    assert host.find().hardware() is None


@pytest.mark.parametrize(("name", "cores", "gpus"), [("polaris", 32, 4), ("aurora", 102, 12), ("frontier", 56, 8)])
def test_each_gpu_of_a_machine_has_cores_of_its_own(name: str, cores: int, gpus: int, host: Host) -> None:
    hardware = host.find(name).hardware()
    assert hardware is not None
    near = [cpu for cpus in hardware.gpu_cpus.values() for cpu in cpus]
    assert (len(hardware.gpus), len(near)) == (gpus, len(set(near)))
    assert set(near) <= set(range(hardware.cpus or 0))
    free = [core for core in hardware.siblings if not hardware.blocked.intersection(core)]
    assert len(free) == cores


def test_a_spool_directory_that_cannot_be_told_is_an_error(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    path = host.write("user", "x", 'platform = "slurm"\nspool = "${SCRATCH}/psij"')
    monkeypatch.delenv("SCRATCH", raising=False)
    with pytest.raises(SiteError, match=r"x.toml:2: spool is \$\{SCRATCH\}/psij, and SCRATCH is not set here"):
        executor_of(host.find("x"))
    monkeypatch.setenv("SCRATCH", "relative")
    with pytest.raises(SiteError, match="spool is 'relative/psij', which is no absolute path"):
        executor_of(host.find("x"))
    path.write_text('platform = "slurm"\nspool = "~/psij"')
    monkeypatch.setenv("HOME", "/home/someone")
    assert executor_of(host.find("x")).spool == Path("/home/someone/psij")


def test_memory_and_times_are_one_type_each(host: Host) -> None:
    host.write(
        "user",
        "x",
        'platform = "slurm"\npoll_min = 45\n[defaults]\nmemory_per_node = "4 GB"\nwall_time_min = "1h30m"\n'
        "[queues.q]\nmax_wall_time_min = 90\n[environment]\nOMP_NUM_THREADS = 1",
    )
    site = host.find("x")
    assert site.defaults == {"memory_per_node": 4096, "wall_time_min": 90}
    assert (site.poll_min, site.queues["q"].max_time_min) == (45.0, 90)
    assert site.environment == {"OMP_NUM_THREADS": "1"}
    assert "OMP_NUM_THREADS" not in repr(site)  # values may be secret


# ---- the schema, and what ships ----------------------------------------------------------------------------


def test_the_schema_that_ships_is_the_models() -> None:
    shipped = json.loads((Path(sites.__file__).parent / "schema.json").read_text())
    again = (
        'python -c "import json; from psij_parsl.sites import json_schema as s; print(json.dumps(s(), indent=2))"'
        " > psij_parsl/sites/schema.json"
    )
    assert shipped == sites.json_schema(), f"the models have changed: {again}"


def test_the_schema_accepts_what_we_do_and_finds_what_we_find(cluster: Site, host: Host) -> None:
    import tomllib

    validator = jsonschema.Draft202012Validator(sites.json_schema())
    jsonschema.Draft202012Validator.check_schema(sites.json_schema())
    files = [host.layers["user"] / "cluster.toml", *PACKAGE.glob("*.toml")]
    for path in files:
        assert not list(validator.iter_errors(tomllib.loads(path.read_text()))), path
    assert not list(validator.iter_errors({"extends": "cluster"}))
    faults = [error.json_path for error in validator.iter_errors(tomllib.loads(FAULTY))]
    assert {"$", "$.setup", "$.defaults.num_nodes", "$.queues.short", "$.detect[2]"} <= set(faults)


def test_every_site_that_ships_is_valid() -> None:
    found = sites.installed(environ={"XDG_CONFIG_HOME": "/nonexistent"})
    assert {path.stem for path in PACKAGE.glob("*.toml")} <= set(found)
    for name in (path.stem for path in PACKAGE.glob("*.toml")):
        site = found[name]
        assert isinstance(site, Site), site
        assert site.description
