"""`psij-run site test` on this host: what it asks, what it finds, how it reports, and that it leaves nothing behind."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.cli.helpers import COMMAND, one_sentence_and_a_hint, psij, psij_here

_LOCAL = 'description = "This host"\nplatform = "local"\n'
#: Starts two ranks as the fork launcher does, with the CPU of each as the shell text $psij_cpu.
_BOUND = (
    "for r in 0 1; do PSIJ_RANK=$r PSIJ_LOCAL_RANK=$r PSIJ_NUM_RANKS=2 taskset -c CPU "
    '"$@" & done; wait # {{ num_ranks }}'
)

needs_two_cpus = pytest.mark.skipif(
    not {0, 1} <= os.sched_getaffinity(0), reason="ranks are bound to the CPUs 0 and 1 of this host"
)


@pytest.fixture
def site(here: Path) -> Callable[[str], str]:
    """Writes a site file of the local platform, with these lines more; gives its path."""

    def write(text: str = "") -> str:
        (here / "my.toml").write_text(_LOCAL + text)
        return "./my.toml"

    return write


def report(*args: str, code: int = 0) -> dict[str, dict[str, Any]]:
    """The checks of a report by their names; each is there once."""
    done = psij("site", "test", *args, "--yes", "--json")
    assert done.returncode == code, done.stdout + done.stderr
    answer = json.loads(done.stdout)
    assert answer["state"] == ("FAILED" if code else "PASSED")
    checks = {check["check"]: check for check in answer["checks"]}
    assert len(checks) == len(answer["checks"])
    return checks


def states(checks: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {name: check["state"] for name, check in checks.items()}


def jobs() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(psij("list", "--all", "--json").stdout)
    return rows


def test_a_laptop_passes_and_nothing_is_left() -> None:
    checks = report("laptop")
    assert states(checks) == {
        "file": "PASSED",
        "hold": "PASSED",
        "node": "PASSED",
        "spool": "PASSED",
        "environment": "SKIPPED",
        "mpi": "SKIPPED",
        "binding": "SKIPPED",
        "gpu": "SKIPPED",
        "cancel": "PASSED",
        "walltime": "SKIPPED",
    }
    assert "2 nodes" in checks["mpi"]["text"]
    assert checks["walltime"]["text"] == "takes a minute or more: --only walltime does it"
    assert sorted((row["name"], row["state"]) for row in jobs()) == [
        ("site-test-binding", "COMPLETED"),
        ("site-test-cancel", "CANCELED"),
        ("site-test-hold", "CANCELED"),
        ("site-test-node", "COMPLETED"),
    ]


def test_without_a_terminal_and_yes_it_says_what_it_would_do_and_does_nothing() -> None:
    done = psij("site", "test", "laptop")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        "psij-run: 4 jobs will be submitted to laptop (local):",
        "  on hold, and cancelled at once: the manager's own choice of a queue",
        "  the manager's own choice of a queue, 1 node for at most 5 min each: node+spool, binding, cancel",
        "in all at most 15 node-minutes; what is left over is cancelled",
        "psij-run: nothing was submitted: there is no terminal to ask on",
        "hint: --yes agrees to these jobs",
    ]
    assert jobs() == []


@pytest.mark.parametrize(("answer", "code", "count"), [("y", 0, 1), ("n", 2, 0), ("", 2, 0)])
def test_on_a_terminal_it_asks(answer: str, code: int, count: int) -> None:
    ours, theirs = pty.openpty()
    try:
        os.write(ours, f"{answer}\n".encode())
        done = subprocess.run(
            [*COMMAND, "site", "test", "laptop", "--only", "node"],
            stdin=theirs,
            stderr=theirs,
            stdout=subprocess.PIPE,
            text=True,
            timeout=180,
            check=False,
        )
        said = os.read(ours, 1 << 16).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == code, said
    assert "1 job will be submitted to laptop" in said
    assert "Submit them? [y/N]" in said
    assert len(jobs()) == count
    assert ("ran hostname" in done.stdout) is bool(count)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("", "it has no `detect`, so its users must name it"),
        ('detect = [{ env = { MACHINE = "mine" } }]\n', "this host is found by its `detect`: $MACHINE is mine"),
        ('detect = [{ hostname = "elsewhere" }]\n', "no rule of its `detect` finds this host, so users must name it"),
        ("other", "this host is detected as other ($MACHINE is mine), so users must name it here"),
    ],
)
def test_it_says_whether_the_host_is_found(
    rule: str, said: str, site: Callable[[str], str], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MACHINE", "mine")
    if rule == "other":
        folder = here / "others"
        folder.mkdir(mode=0o755)
        (folder / "other.toml").write_text('platform = "local"\ndetect = [{ env = { MACHINE = "mine" } }]\n')
        monkeypatch.setenv("PSIJ_PARSL_SITE_PATH", str(folder))
        rule = 'detect = [{ hostname = "elsewhere" }]\n'
    checks = report(site(rule), "--only", "file")
    assert checks["file"]["text"].startswith(f"the site's file has no faults; {said}")


def test_a_file_with_faults_is_not_tried(site: Callable[[str], str]) -> None:
    checks = report(site('setup = ["if true"]\n'), code=1)
    assert checks.pop("file")["state"] == "FAILED"
    assert {check["text"] for check in checks.values()} >= {"the file has faults: nothing was submitted"}
    assert set(states(checks).values()) == {"SKIPPED"}
    assert jobs() == []


def test_a_setup_that_fails_is_told_once(site: Callable[[str], str]) -> None:
    checks = report(site('setup = ["echo oh dear >&2; (exit 7)"]\n'), code=1)
    found = states(checks)
    assert [name for name, state in found.items() if state == "FAILED"] == ["environment"]
    assert "its setup failed" in checks["environment"]["text"]
    assert "oh dear" in checks["environment"]["details"]
    assert (found["node"], found["cancel"], found["binding"]) == ("PASSED", "PASSED", "SKIPPED")
    assert checks["binding"]["text"].endswith("see environment")


def test_a_setup_that_fails_is_no_skipped_check_where_only_that_is_made(site: Callable[[str], str]) -> None:
    assert states(report(site('setup = ["false"]\n'), "--only", "binding", code=1)) == {"binding": "FAILED"}


def test_environment_and_setups_work(site: Callable[[str], str]) -> None:
    checks = report(site('setup = ["A=1"]\nenvironment = { TOOL = "a b\'c" }\n'), "--only", "environment")
    assert checks["environment"]["text"] == "1 setup text and 1 variable worked"


def test_a_variable_that_a_setup_has_changed_is_named_without_its_value(site: Callable[[str], str]) -> None:
    text = site('setup = ["export TOOL=secret2"]\nenvironment = { TOOL = "secret1", OTHER = "x" }\n')
    done = psij("site", "test", text, "--only", "environment", "--yes")
    assert done.returncode == 1
    assert "a job does not have the value of the file for TOOL\n" in done.stdout
    assert "secret" not in done.stdout + done.stderr


def test_a_module_that_is_not_loaded_is_seen(
    site: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lmod" / "init").mkdir(parents=True)
    (tmp_path / "lmod" / "init" / "bash").write_text("module() { :; }\n")  # as the oldest of them say nothing
    monkeypatch.setenv("LMOD_PKG", str(tmp_path / "lmod"))
    checks = report(site('modules = ["tool/2"]\n'), "--only", "environment", code=1)
    assert checks["environment"]["text"] == "not loaded in a job, though no error was told: tool/2"


@needs_two_cpus
@pytest.mark.parametrize(
    ("cpu", "node", "state", "text"),
    [
        ("$r", "cpus = 2", "PASSED", "each rank has CPUs of its own (rank 0: 0; rank 1: 1)"),
        ("0", "cpus = 2", "FAILED", "ranks share CPUs (rank 0: 0; rank 1: 0)"),
        (
            "$r",
            'cpus = 3\nblocked = "1"',
            "FAILED",
            "ranks may use CPUs that the file blocks, 1 (rank 0: 0; rank 1: 1)",
        ),
    ],
    ids=["bound", "shared", "blocked"],
)
def test_binding(site: Callable[[str], str], cpu: str, node: str, state: str, text: str) -> None:
    line = json.dumps(["bash", "-c", _BOUND.replace("CPU", cpu), "ranks"])
    file = site(f"launch = {{ mpi = {line} }}\n[node]\n{node}\n")
    checks = report(file, "--only", "binding", code=int(state == "FAILED"))
    assert (checks["binding"]["state"], checks["binding"]["text"]) == (state, text)


def test_a_launcher_that_numbers_no_rank_is_found(site: Callable[[str], str]) -> None:
    line = json.dumps(["bash", "-c", 'for r in 0 1; do PSIJ_RANK=0 "$@" & done; wait # {{ num_ranks }}', "ranks"])
    checks = report(site(f"launch = {{ mpi = {line} }}\n"), "--only", "binding", code=1)
    assert checks["binding"]["text"] == "the launcher numbers its 2 ranks 0, 0"


def test_the_report_as_junit(site: Callable[[str], str], here: Path) -> None:
    text = site("setup = [\"printf '\\\\a<&>' >&2; false\"]\n")
    done = psij("site", "test", text, "--only", "node,environment,gpu", "--yes", "--junit", "report.xml")
    assert done.returncode == 1
    suite = ElementTree.parse(here / "report.xml").getroot()
    counts = {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")}
    assert (suite.tag, counts) == ("testsuite", {"tests": "3", "failures": "1", "errors": "0", "skipped": "1"})
    cases = {case.get("name"): case for case in suite.iter("testcase")}
    assert list(cases) == ["node", "environment", "gpu"]
    failure = cases["environment"].find("failure")
    assert failure is not None
    assert "its setup failed" in failure.get("message", "")
    assert "?<&>" in (failure.text or "")
    assert cases["gpu"].find("skipped") is not None
    assert [child.tag for child in cases["node"]] == ["system-out"]
    assert sorted(os.listdir(here)) == sorted(["my.toml", "report.xml"])


def test_a_report_that_cannot_be_written_is_told_before_any_job() -> None:
    done = psij("site", "test", "laptop", "--yes", "--junit", "nowhere/report.xml")
    assert done.returncode == 2
    said, _ = one_sentence_and_a_hint(done)
    assert "nowhere/report.xml" in said
    assert jobs() == []


@pytest.mark.parametrize(
    ("args", "text", "hint"),
    [
        (("laptop", "--only", "nodes"), "no such check", "did you mean 'node'?"),
        (("frontier", "-q", "bach"), "frontier has no queue 'bach'", "did you mean 'batch'?"),
        (("./nowhere.toml",), "nowhere.toml", ""),
    ],
)
def test_mistakes(args: tuple[str, ...], text: str, hint: str) -> None:
    done = psij_here("site", "test", *args, "--yes")
    assert done.returncode in (2, 3)
    said, hinted = one_sentence_and_a_hint(done)
    assert text in said
    assert hint in hinted


def test_what_the_user_must_say_is_asked_for_before_any_job(site: Callable[[str], str]) -> None:
    text = site('required = ["project"]\n')
    done = psij("site", "test", text, "--yes")
    assert done.returncode == 2
    _, hint = one_sentence_and_a_hint(done)
    assert "give -A/--account" in hint
    assert jobs() == []
    assert states(report(text, "-A", "mine", "--only", "node")) == {"node": "PASSED"}


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> str:
    """A job that has the only core of this host, by its id."""
    monkeypatch.setenv("PSIJ_LOCAL_CORES_TOTAL", "1")
    return psij("submit", "--", "sleep", "600").stdout.strip()


def test_at_the_timeout_what_is_known_is_told_and_the_rest_cancelled(busy: str) -> None:
    checks = report("laptop", "--only", "hold,node", "--timeout", "3s", code=1)
    assert states(checks) == {"hold": "PASSED", "node": "FAILED"}
    assert checks["node"]["text"].startswith("not known: its job is still QUEUED")
    assert {row["id"] for row in jobs() if row["state"] not in ("CANCELED",)} == {busy}
    psij("cancel", busy)


def test_ctrl_c_cancels_all_and_tells_what_is_known(busy: str, comes_true: Callable[..., Any]) -> None:
    with subprocess.Popen(
        [*COMMAND, "site", "test", "laptop", "--yes", "--only", "node,cancel"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        comes_true(lambda: len(jobs()) == 3)
        running.send_signal(signal.SIGINT)
        stdout, _ = running.communicate(timeout=180)
    assert running.returncode == 130
    assert "when it was interrupted" in stdout
    assert {row["id"] for row in jobs() if row["state"] != "CANCELED"} == {busy}
    psij("cancel", busy)


@pytest.mark.slow
def test_the_wall_time_ends_a_job() -> None:
    checks = report("laptop", "--only", "walltime")
    assert checks["walltime"]["text"] == "ended with TIMEOUT after 1 min of wall time"
