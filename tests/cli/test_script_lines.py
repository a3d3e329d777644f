"""Option lines of managers in job scripts: as they are on their own manager, and what typed flags take the place of."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from psij_parsl.job_texts import indices
from psij_parsl.platforms.registry import platform, platforms
from tests.cli.helpers import one_sentence_and_a_hint, psij_here

SCRIPTS = Path(__file__).parents[1] / "scripts"
SLURM = """#!/bin/bash
#SBATCH -J relax -N 2 --ntasks-per-node=4   # two nodes
#SBATCH --cpus-per-task=2
#SBATCH --gres=gpu:a100:2
#SBATCH --mem-per-cpu=2G
#SBATCH --time=24:00:00 --switches=1
#SBATCH --array=0-15%4 -o %x-%A_%4a.txt
#SBATCH --mail-type=END -p gpu -A chem
#SBATCH --export=ALL,FOO=1
hostname
#SBATCH --exclusive
"""
PBS = """#!/bin/bash
#PBS -N ocean -q workq
#PBS -l select=2:ncpus=8:mpiprocs=4:mem=16gb -l place=scatter
#PBS -l walltime=02:00:00
#PBS -j oe
hostname
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    return tmp_path / "job.sh"


def lines(*args: object, begin: str = "#SBATCH") -> list[str]:
    """The option lines of the script that `render` prints, without those that every job of ours has."""
    done = psij_here("render", *map(str, args))
    assert done.returncode == 0, done.stderr
    found = [line for line in done.stdout.splitlines() if line.startswith(begin)]
    own = ("--comment=", "--output=", "--open-mode=", " -S ", " -j ", " -o ", " -v PSIJ")
    return [line.removeprefix(begin) for line in found if not any(text in line for text in own)]


def test_on_their_own_manager_they_stay_but_for_what_a_job_of_ours_says_itself(script: Path) -> None:
    script.write_text(SLURM)
    assert lines("--platform", "slurm", script) == [
        " -N 2",
        " --ntasks-per-node=4",
        " --cpus-per-task=2",
        " --gres=gpu:a100:2",
        " --mem-per-cpu=2G",
        " --time=24:00:00 --switches=1",
        " --mail-type=END -p gpu -A chem",
        " --job-name=relax",
        " --array=0-15%4",
    ]
    rendered = psij_here("render", "--platform", "slurm", str(script)).stdout
    assert "{name}-{array}_{index:4}.txt" in rendered
    assert "# The job sets FOO" in rendered


def test_a_line_that_says_nothing_of_ours_is_the_very_same(script: Path) -> None:
    line = "#SBATCH --ntasks=4   --constraint='a&b' # as it was"
    script.write_text(f"#!/bin/sh\n{line}\nhostname\n")
    assert line.removeprefix("#SBATCH") in lines("--platform", "slurm", script)


@pytest.mark.parametrize(
    ("typed", "gone", "new"),
    [
        (["-N", "3"], [" -N 2", " --ntasks-per-node=4"], [" --nodes=3"]),
        (["-n", "6"], [" -N 2", " --ntasks-per-node=4"], [" --ntasks=6"]),
        (["-t", "1h"], [" --time=24:00:00"], [" --time=01:00:00"]),
        (["--mem", "8G"], [" --mem-per-cpu=2G"], [" --mem=8192M"]),
        (["-G", "4", "-N", "2"], [" --gres=gpu:a100:2"], [" --gpus-per-node=2"]),
        (["-q", "debug"], [" -p gpu"], [" --partition=debug"]),
        (["-X", "mail_type=FAIL"], [" --mail-type=END"], [" --mail-type=FAIL"]),
        (["--array", "1-2"], [" --array=0-15%4"], [" --array=1-2"]),
        (["-J", "other"], [" --job-name=relax"], [" --job-name=other"]),
        (["-c", "5"], [" --cpus-per-task=2"], [" --cpus-per-task=5"]),
    ],
)
def test_what_is_typed_takes_the_place_of_lines_by_group(
    typed: list[str], gone: list[str], new: list[str], script: Path
) -> None:
    script.write_text(SLURM)
    before, after = lines("--platform", "slurm", script), lines("--platform", "slurm", *typed, script)
    assert all(any(text.strip() in line for line in before) for text in gone)
    assert not any(text.strip() in line for text in gone for line in after)
    assert {*new} <= {*after}
    if "-t" in typed:
        assert " --switches=1" in after  # the other option of that line stays


def test_psij_lines_count_before_them(script: Path) -> None:
    script.write_text("#!/bin/sh\n#SBATCH --time=60 -p gpu\n#PSIJ -t 5\nhostname\n")
    assert lines("--platform", "slurm", script) == [" -p gpu", " --job-name=job.sh", " --time=00:05:00"]


def test_a_script_without_size_or_time_leaves_them_to_its_manager(script: Path) -> None:
    script.write_text("#!/bin/sh\n#SBATCH --requeue\nhostname\n")
    assert lines("--platform", "slurm", script) == [" --requeue", " --job-name=job.sh"]
    script.write_text("#!/bin/sh\n#PBS -l walltime=60\nhostname\n")
    assert lines("--platform", "pbspro", script, begin="#PBS") == [" -l walltime=60", " -N job.sh"]


def test_what_several_resources_say_together_is_said_anew_as_a_whole(script: Path) -> None:
    script.write_text(PBS)
    before = lines("--platform", "pbspro", script, begin="#PBS")
    assert " -l select=2:ncpus=8:mpiprocs=4:mem=16gb -l place=scatter" in before
    after = lines("--platform", "pbspro", "--mem", "4G", script, begin="#PBS")
    assert " -l select=2:ncpus=8:mpiprocs=4:mem=4096mb" in after
    assert [line for line in after if "place" in line] == [" -l place=scatter"]


def test_a_line_that_ours_cannot_say_is_not_changed_by_what_is_typed(script: Path) -> None:
    script.write_text("#!/bin/sh\n#PBS -l select=1:ncpus=4+2:ncpus=8\nhostname\n")
    assert " -l select=1:ncpus=4+2:ncpus=8" in lines("--platform", "pbspro", script, begin="#PBS")
    done = psij_here("render", "--platform", "pbspro", "-N", "2", str(script))
    assert done.returncode == 2
    assert "line 2: -l select=1:ncpus=4+2:ncpus=8 asks for chunks that differ" in one_sentence_and_a_hint(done)[0]


def test_what_has_no_equivalent_is_refused_by_line_and_word_and_all_of_it_at_once(script: Path) -> None:
    script.write_text(SLURM)
    done = psij_here("render", "--platform", "pbspro", "-q", "workq", str(script))
    assert done.returncode == 2
    assert not done.stdout
    said = done.stderr.splitlines()[-2]
    for text in ("line 4: --gres=gpu:a100:2", "line 6: --switches=1 has no equivalent", "line 8: -A chem"):
        assert text in said
    assert "line 8: -p" not in said


def test_lines_of_another_manager_are_ignored_where_its_own_are_there(script: Path) -> None:
    script.write_text(f"{SLURM.replace('hostname', '')}{PBS.replace('#!/bin/bash', '')}")
    done = psij_here("render", "--platform", "slurm", str(script))
    assert "of pbspro ignored" in done.stderr
    done = psij_here("render", "--platform", "local", str(script))
    assert done.returncode == 2
    assert "--directives pbspro or --directives slurm" in done.stderr or "--directives slurm or" in done.stderr
    done = psij_here("render", "--platform", "slurm", "--ignore-directives", str(script))
    assert "--time=00:10:00" in done.stdout
    assert "of pbspro" not in done.stderr


def test_what_a_job_cannot_be_told_is_refused_on_its_own_manager_too(script: Path) -> None:
    script.write_text("#!/bin/sh\n#SBATCH --uid=0\n#SBATCH hetjob\nhostname\n")
    done = psij_here("render", "--platform", "slurm", str(script))
    assert done.returncode == 2
    said, _ = one_sentence_and_a_hint(done)
    assert "line 2: --uid=0" in said
    assert "joined by -d after:ID" in said


@pytest.mark.parametrize(
    "name", [one.name for _, one in platforms(plugins=False) if getattr(one, "option_lines", "")]
)
def test_a_platform_tells_how_its_lines_begin_as_its_table_does(name: str) -> None:
    assert platform(name).option_lines == platform(name).directive_table.prefix


@pytest.mark.parametrize("path", sorted(SCRIPTS.glob("slurm/*.*sh")), ids=lambda path: path.name)
def test_an_imported_script_asks_its_manager_for_the_same(path: Path, tmp_path: Path) -> None:
    done = psij_here("import", str(path), "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    new = tmp_path / path.name
    new.write_text(told["script"], newline="")
    table = platform("slurm").directive_table
    asked = table.read(path.read_bytes().decode()).words
    rendered = psij_here("render", "--platform", "slurm", str(new))
    assert rendered.returncode == 0, rendered.stderr
    again = table.read(rendered.stdout).words
    kept = ("num_nodes", "cpus_per_rank", "wall_time_min", "queue", "project", "array_limit", "gpu_kind", "qos")
    assert {word: again.get(word) for word in kept if asked.get(word)} == {
        word: asked[word] for word in kept if asked.get(word)
    }
    if "array" in asked:
        assert indices(again["array"]) == indices(asked["array"])
    assert "\r" not in told["script"]


def test_import_keeps_what_it_cannot_say_as_comments_and_tells_of_it(script: Path) -> None:
    script.write_text("#!/bin/sh\n#PBS -l select=1:ncpus=4+2:ncpus=8\n#PBS -l walltime=60\nhostname\n")
    done = psij_here("import", str(script))
    assert "#PSIJ -t 1\n" in done.stdout
    assert "# not carried over: #PBS -l select=1:ncpus=4+2:ncpus=8 (asks for chunks that differ)" in done.stdout
    assert "line 2: -l select=1:ncpus=4+2:ncpus=8 is not carried over" in done.stderr
    script.write_text("#!/bin/sh\nhostname\n")
    done = psij_here("import", str(script))
    assert done.returncode == 2
    assert "no option lines" in one_sentence_and_a_hint(done)[0]


def test_on_another_manager_typed_nodes_and_ranks_take_the_place_of_a_size_that_only_its_own_knows(
    script: Path,
) -> None:
    script.write_text("#!/bin/sh\n#PBS -l select=1:ncpus=4+2:ncpus=8\n#PBS -l walltime=60\nhostname\n")
    done = psij_here("render", "--platform", "slurm", str(script))
    assert "line 2: -l select=1:ncpus=4+2:ncpus=8 asks for chunks that differ" in one_sentence_and_a_hint(done)[0]
    typed = lines("--platform", "slurm", "-N", "2", "-n", "4", script)
    assert {" --nodes=2", " --ntasks-per-node=2"} <= {*typed}


@pytest.mark.parametrize(
    ("own", "refused"),
    [
        ("max_nodes = 1", "line 2 --nodes=3"),
        ('max_time = "10m"', "line 3 -t 60"),
        ("max_nodes = 1\nmax_time = '10m'", "line 2 --nodes=3, line 3 -t 60"),
    ],
)
def test_what_a_site_refuses_names_the_lines_that_say_it(
    own: str, refused: str, script: Path, tmp_path: Path
) -> None:
    site = tmp_path / "toy.toml"
    site.write_text(f'platform = "slurm"\n[queues.short]\nstrict = true\n{own}\n')
    script.write_text("#!/bin/sh\n#SBATCH --nodes=3 -J x\n#SBATCH -t 60\nhostname\n")
    done = psij_here("render", "--site", str(site), "-q", "short", str(script))
    assert done.returncode == 2
    assert f"{script}, {refused}: " in done.stderr
    assert "line 2" not in psij_here("render", "--site", str(site), "-q", "short", "-N", "1", str(script)).stderr


@pytest.mark.parametrize(
    ("name", "said", "typed", "asked"),
    [
        ("oar", "#OAR -l nodes=2,walltime=2", "-t 5", ["-l /nodes=2,walltime=0:05:00"]),
        (
            "oar",
            "#OAR -l {gpu='YES'}/nodes=1/core=2,walltime=2",
            "-t 5",
            ["-l /nodes=1/resource_id=2,walltime=0:05:00", "-p gpu='YES'"],
        ),
        ("flux", "# flux: -n 8 -c 2", "-n 4", ["-c 2", "--nslots=4"]),
        ("slurm", "#SBATCH -N 2 -n 8 --gpus-per-task=1", "-g 2", ["-N 2", "-n 8", "--gpus-per-task=2"]),
        ("slurm", "# flux: -n 4 -c 2 -g 1", "", ["--ntasks=4", "--cpus-per-task=2", "--gpus-per-task=1"]),
        ("pbspro", "#PBS -l select=2:ncpus=8:mem=4gb", "-N 3", ["-l select=3:ncpus=8:mpiprocs=1:mem=8192mb"]),
        ("pbspro", "#PBS -l ncpus=8,mem=4gb", "-c 2", ["-l select=1:ncpus=2:mpiprocs=1:mem=4096mb"]),
        (
            "pbspro",
            "#PBS -l select=1:ncpus=4 -l place=excl",
            "-N 2",
            ["-l select=2:ncpus=4:mpiprocs=1", "-l place=scatter:exclhost"],
        ),
        ("torque", "#PBS -l nodes=2:ppn=4,mem=4gb", "-N 1", ["-l nodes=1:ppn=1", "-l mem=4096mb"]),
        ("gridengine", "#$ -cwd -V -pe smp 4", "", ["-pe smp 4"]),
        ("gridengine", "#$ -hold_jid prep", "", ["-hold_jid prep"]),
        ("slurm", '#SBATCH -J x --reservation="big res"', "", ['--reservation="big res"']),
        (
            "flux",
            '# flux: --job-name=x --requires="host:a or host:b" -n1',
            "",
            ['--requires="host:a or host:b"', "-n1"],
        ),
        ("slurm", "#OAR -l nodes=2", "", ["--nodes=2", "--exclusive"]),
        ("slurm", "#SBATCH -N 2 --mem=0", "-t 5", ["-N 2 --mem=0"]),
        ("pbspro", "#PBS -l select=2:ncpus=8", "-X place=pack", ["-l select=2:ncpus=8:mpiprocs=1", "-l place=pack"]),
        ("lsf", "#BSUB -n 8 -M 4G", "--mem 8G", ["-n 8", "-M 8192MB"]),
    ],
)
def test_nothing_is_lost_of_what_options_say_together(
    name: str, said: str, typed: str, asked: list[str], script: Path
) -> None:
    script.write_text(f"#!/bin/sh\n{said}\nhostname\n")
    done = psij_here("render", "--platform", name, *typed.split(), str(script))
    assert done.returncode == 0, done.stderr
    begin = platform(name).directive_table.written
    found = [line.removeprefix(begin).strip() for line in done.stdout.splitlines() if line.startswith(begin)]
    assert [line for line in asked if line not in found] == []


@pytest.mark.parametrize(
    ("name", "said", "typed", "why"),
    [
        ("oar", "#OAR -l gpu=2,walltime=1", "-t 5", "line 2: -l gpu=2,walltime=1 (says no number of nodes or ranks)"),
        ("pbspro", "#PBS -l select=2:ncpus=8:mem=4gb", "-n 4", "knows nothing of what a node is to have"),
        ("lsf", "#BSUB -n 8 -M 4G", "-n 4", "say --mem: what is typed cannot change it"),
        ("pbspro", "#SBATCH -N 2 --mem=0", "", "all the memory of a node"),
        ("gridengine", "#$ -b y", "", "line 2: -b y (runs a program in place of the script)"),
        ("gridengine", "#$ -w v", "", "line 2: -w v (submits nothing)"),
    ],
)
def test_what_would_be_lost_is_refused(name: str, said: str, typed: str, why: str, script: Path) -> None:
    script.write_text(f"#!/bin/sh\n{said}\nhostname\n")
    done = psij_here("render", "--platform", name, *typed.split(), str(script))
    assert done.returncode == 2
    assert why in done.stderr


@pytest.mark.parametrize(
    "text",
    [
        "#!/usr/bin/env python3\n# flux: the rate of particles\n",
        "#!/usr/bin/perl\n#$ -x is odd\n",
        '#!/usr/bin/env python3\nT = """\n#!/bin/bash\n#SBATCH -N 2\n#$ -pe mpi 4\n"""\n',
        "#!/bin/bash\ncat <<END\n#SBATCH -N 2\nEND\n",
    ],
)
def test_prose_and_what_a_program_writes_are_no_option_lines(text: str, script: Path) -> None:
    script.write_text(text)
    script.chmod(0o755)
    done = psij_here("render", "--platform", "local", "-n", "1", str(script))
    assert done.returncode == 0, done.stderr
    assert f"psij_command=({script})" in done.stdout


def test_a_shell_script_that_runs_once_with_several_ranks_is_remarked_on(script: Path) -> None:
    script.write_text("#!/bin/bash\nhostname\n")
    script.chmod(0o755)
    done = psij_here("render", "--platform", "local", "-n", "2", "--", str(script))
    assert "is a shell script, and runs once: --mode serial or mpi" in done.stderr
    done = psij_here("render", "--platform", "local", "-n", "2", "--mode", "serial", "--", str(script))
    assert "runs once" not in done.stderr


def test_a_command_of_ours_runs_once_in_a_job_of_several_ranks() -> None:
    words = ("-N", "2", "--ntasks-per-node", "4", "--", "psij-run", "launch", "--array", "0-9", "--", "true")
    once = psij_here("render", "--platform", "slurm", *words)
    assert once.returncode == 0, once.stderr
    assert "psij_mode=script" in once.stdout
    assert "psij_mode=mpi" in psij_here("render", "--platform", "slurm", "--mode", "mpi", *words).stdout


@pytest.mark.parametrize(
    ("site", "said", "typed", "asked"),
    [
        ("perlmutter", "#SBATCH -q regular -N 2 -C cpu -A m1 -t 30", "", ["-q regular -N 2 -C cpu -A m1 -t 30"]),
        ("perlmutter", "#SBATCH --qos=regular -N 2 -C cpu -A m1 -t 30", "-q debug", ["--qos=debug", "-N 2"]),
        ("perlmutter", "#SBATCH -n 2 --gpus=2 -A m1 -t 30 -q regular", "", ["--constraint=gpu"]),
        ("frontier", "#SBATCH -N 200-300 -t 300 -A abc123", "", ["-N 200-300 -t 300 -A abc123"]),
        ("expanse", "#SBATCH --mem-per-cpu=2G -N 1 -n 4 -p compute -A abc -t 30", "", ["--job-name=job.sh"]),
    ],
)
def test_a_sites_rules_see_what_lines_say(site: str, said: str, typed: str, asked: list[str], script: Path) -> None:
    script.write_text(f"#!/bin/sh\n{said}\nhostname\n")
    found = [line.strip() for line in lines("--site", site, *typed.split(), script)]
    assert [line for line in asked if line not in found] == []
    assert not (typed and "--qos=regular" in found)
