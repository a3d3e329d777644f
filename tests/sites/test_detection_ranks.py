"""Which sign of a machine counts: a variable's value, the cluster's name, the host's, a variable that is set, a file."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from psij_parsl import sites
from psij_parsl.errors import SiteError

CONF = "NodeName=x\n#ClusterName=old\n  clustername = Thunder  # ours\n"


class Host:
    """A host with nothing on it, and one folder of site files."""

    def __init__(self, base: Path) -> None:
        self.root, self.folder, self.own = base / "root", base / "sites", base / "config" / "psij_parsl" / "sites"
        for path in (self.root, self.folder, self.own):
            path.mkdir(parents=True)
        self.environ = {
            "PATH": str(base / "bin"),
            "PSIJ_PARSL_SYSROOT": str(self.root),
            "XDG_CONFIG_HOME": str(base / "config"),
            "PSIJ_PARSL_SITE_PATH": str(self.folder),
        }

    def site(self, name: str, rule: str, folder: Path | None = None) -> None:
        path = (folder or self.folder) / f"{name}.toml"
        path.write_text(f'platform = "slurm"\ndetect = [{{ {rule} }}]\n')

    def put(self, path: str, text: str = "") -> Path:
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        return place

    def look(self, **environ: str) -> tuple[str, str] | None:
        return sites.detect(environ={**self.environ, **environ})


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setattr("os.uname", lambda: SimpleNamespace(nodename="login1.example.org"))
    return Host(tmp_path)


def test_the_strongest_sign_counts(host: Host) -> None:
    host.put("opt/thunder/site")
    host.put("etc/slurm/slurm.conf", CONF)
    said = {"SYSTEM": "thunder", "THUNDER_HOME": "/x"}
    conf = host.root / "etc/slurm/slurm.conf"
    for name, rule, sign in (
        ("by-file", 'file = "/opt/thunder/site"', "/opt/thunder/site exists"),
        ("by-variable", "env = { THUNDER_HOME = true }", "$THUNDER_HOME is set"),
        ("by-host", "hostname = 'login\\d\\..*'", "the host name login1.example.org matches login\\d\\..*"),
        ("by-cluster", 'cluster = "thunder"', f"{conf} names the cluster Thunder"),
        ("by-value", 'env = { SYSTEM = "thunder" }', "$SYSTEM is thunder"),
    ):
        host.site(name, rule)  # each is stronger than all before it
        assert host.look(**said) == (name, sign)
    assert host.look(SYSTEM="other", THUNDER_HOME="") == ("by-cluster", f"{conf} names the cluster Thunder")
    conf.unlink()
    found = host.look(**{**said, "SYSTEM": "Thunder"})
    assert (found and found[0]) == "by-host"


def test_a_weak_sign_of_a_users_own_site_does_not_outdo_a_strong_one(host: Host) -> None:
    host.site("strong", 'env = { SYSTEM = "thunder" }')
    host.site("own", "hostname = '.*'", host.own)
    assert host.look(SYSTEM="thunder") == ("strong", "$SYSTEM is thunder")
    host.site("own", "env = { SYSTEM = 'thunder' }", host.own)
    assert host.look(SYSTEM="thunder") == ("own", "$SYSTEM is thunder")


def test_a_rule_of_values_may_ask_that_others_are_set(host: Host) -> None:
    host.site("x", 'env = { SYSTEM = "thunder", REGION = 7, MODULES = true }')
    assert host.look(SYSTEM="thunder", REGION="7") is None
    assert host.look(SYSTEM="thunder", REGION="8", MODULES="") is None
    assert host.look(SYSTEM="thunder", REGION="7", MODULES="") == (
        "x",
        "$SYSTEM is thunder $REGION is 7 $MODULES is ",
    )


def test_variables_that_are_merely_set_must_all_be(host: Host) -> None:
    host.site("x", "env = { A = true, B = true }")
    assert host.look(A="1") is None
    assert host.look(A="1", B="") == ("x", "$A is set $B is set")


@pytest.mark.parametrize(
    ("path", "text", "cluster"),
    [
        ("etc/slurm/slurm.conf", CONF, "thunder"),
        ("etc/slurm-llnl/slurm.conf", "ClusterName=thunder", "Thunder"),
        ("run/slurm/conf/slurm.conf", "CLUSTERNAME=thunder\n", "thunder"),
        ("etc/pbs.conf", "PBS_EXEC=/opt/pbs\nPBS_SERVER=pbs-01\n", "pbs-01"),
    ],
)
def test_the_clusters_name_is_read_from_its_managers_configuration(
    host: Host, path: str, text: str, cluster: str
) -> None:
    host.site("x", f'cluster = "{cluster}"')
    assert host.look() is None
    place = host.put(path, text)
    assert host.look() is not None
    assert f"{place} names the cluster" in host.look()[1]  # type: ignore[index]  # it is one
    host.site("x", 'cluster = "another"')
    assert host.look()[0] != "x"  # type: ignore[index]  # the manager's generic site


def test_a_variable_names_the_configuration_that_counts(host: Host, tmp_path: Path) -> None:
    host.site("x", 'cluster = "thunder"')
    host.site("y", 'cluster = "lightning"')
    host.put("etc/slurm/slurm.conf", CONF)
    other = tmp_path / "slurm.conf"
    other.write_text("ClusterName=lightning\n")
    assert host.look(SLURM_CONF=str(other)) == ("y", f"{other} names the cluster lightning")
    for odd in ("relative/slurm.conf", str(tmp_path / "absent"), str(tmp_path)):  # the usual place counts
        found = host.look(SLURM_CONF=odd)
        assert (found and found[0]) == "x"


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\0\0", b"ClusterName=\n", b"#ClusterName=thunder\n"])
def test_a_configuration_without_a_name_is_no_sign(host: Host, content: bytes) -> None:
    host.site("x", 'cluster = "thunder"')
    host.put("etc/slurm/slurm.conf").write_bytes(content)
    found = host.look()
    assert found is None or found[0] != "x"


def test_a_configuration_that_cannot_be_read_is_no_sign(host: Host) -> None:
    host.site("x", 'cluster = "thunder"')
    (host.root / "etc/slurm/slurm.conf").mkdir(parents=True)
    found = host.look()
    assert found is None or found[0] != "x"


def test_two_sites_of_one_folder_with_the_same_kind_of_sign_must_be_told_apart(host: Host) -> None:
    host.put("etc/slurm/slurm.conf", CONF)
    host.site("x", 'cluster = "thunder"')
    host.site("y", 'cluster = "THUNDER"')
    with pytest.raises(SiteError, match="this host looks like 2 sites of .*: x: .* names the cluster Thunder; y: "):
        host.look()


@pytest.mark.parametrize(
    "rule",
    [
        'hostname = "("',
        'hostname = "a{99999999999}"',
        "hostname = 3",
        "env = 7",
        "env = {}",
        "env = { A = [1] }",
        'file = "relative"',
        'file = "/\\u0000"',
        "cluster = ['x']",
        'cluster = ""',
        'unknown = "x"',
    ],
)
def test_a_rule_that_is_wrong_is_no_sign_and_disturbs_no_other(host: Host, rule: str) -> None:
    host.put("etc/slurm/slurm.conf", CONF)
    host.site("wrong", rule)
    host.site("good", "hostname = 'login1.*'")
    assert host.look(A="1") == ("good", "the host name login1.example.org matches login1.*")


def test_detect_may_be_no_list_at_all(host: Host) -> None:
    (host.folder / "wrong.toml").write_text('platform = "slurm"\ndetect = "login1"\n')
    (host.folder / "list.toml").write_text('platform = "slurm"\ndetect = ["login1", 3, []]\n')
    host.site("good", "hostname = 'login1.*'")
    found = host.look()
    assert (found and found[0]) == "good"
