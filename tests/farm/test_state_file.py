"""The state of a farm: what is believed of a file, however its writer ended."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from psij_parsl.errors import InvalidRequest
from psij_parsl.farm.state_file import BEGUN, DONE, FAILED, NEW, STOPPED, StateFile


def written(path: Path) -> None:
    state = StateFile(path)
    state.open({"mark": "m"}, fresh=False)
    for number in range(4):
        state.begun(number, 7 + number)
    state.ended(1, 0, 1.5, "node1")
    state.ended(2, 3, 1.5, "node1")
    state.stopped(3)
    state.release()


def states(path: Path, most: int = 6) -> list[int]:
    state = StateFile(path)
    try:
        return [state.state(number) for number in range(most)]
    finally:
        state.release()


def test_it_tells_what_began_and_how_it_ended(tmp_path: Path) -> None:
    written(tmp_path / "state")
    state = StateFile(tmp_path / "state")
    assert [state.state(number) for number in range(6)] == [BEGUN, DONE, FAILED, STOPPED, NEW, NEW]
    assert (state.highest, state.sum(2), state.used, state.finished, state.farms[0]["mark"]) == (
        3,
        9,
        True,
        False,
        "m",
    )
    state.open({"mark": "n"}, fresh=False)
    state.begun(2, 9)
    state.close({"finished": True})
    state = StateFile(tmp_path / "state")
    assert (state.state(2), state.finished, len(state.farms)) == (BEGUN, True, 2)
    state.open({}, fresh=True)
    state.release()
    assert states(tmp_path / "state") == [NEW] * 6


def test_a_file_that_was_cut_at_any_byte_tells_what_its_whole_lines_tell(tmp_path: Path) -> None:
    """The end of a line that is not whole counts as not written, and is not left for what is added."""
    path = tmp_path / "state"
    written(path)
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        lines = whole[:cut].rpartition(b"\n")[0].decode().splitlines()
        expected = [NEW] * 4
        for line in lines[1:]:
            word, number, *rest = line.split()
            expected[int(number)] = {"begun": BEGUN, "stopped": STOPPED}.get(
                word, FAILED if rest[:1] != ["0"] else DONE
            )
        state = StateFile(path)
        assert [state.state(number) for number in range(4)] == expected, cut
        state.open({}, fresh=False)
        state.release()
        assert path.read_bytes().count(b"\n") == len(lines) + 1
        assert states(path, 4) == expected


@pytest.mark.parametrize("line_end", ["", "\n"])
def test_zero_bytes_at_its_end_spoil_nothing_before_them(line_end: str, tmp_path: Path) -> None:
    """As a file system leaves them where the host failed."""
    path = tmp_path / "state"
    written(path)
    whole = path.read_text()
    path.write_text(f"{whole}begun 4{chr(0) * 5000}{line_end}")
    for damaged in (True, bool(line_end)):
        state = StateFile(path)
        assert [state.state(number) for number in range(6)] == [BEGUN, DONE, FAILED, STOPPED, NEW, NEW]
        assert (state.damaged > 5000, state.finished) == (damaged, False)
        state.open({}, fresh=False)
        state.release()


def test_a_task_whose_line_is_lost_between_others_may_have_run(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.write_text(
        f'farm {{"format":1}}\nbegun 1 8\nbegun 2{chr(0) * 90}\nended 4 0 1.5 n\nbegun 6 9\nended 6 1 1.0 n\n'
    )
    state = StateFile(path)
    assert [state.state(number) for number in range(8)] == [NEW, BEGUN, BEGUN, BEGUN, DONE, BEGUN, FAILED, NEW]
    assert [state.sum(number) for number in (1, 2, 4, 6)] == [8, 0, 0, 9]
    state.release()


@pytest.mark.parametrize("text", ["\0\0\n", "hello", "hello\n", "begun x\n", 'farm {"format":2}\n', "farm 3\n", "\n"])
def test_another_file_is_refused_and_left_as_it_is(text: str, tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.write_text(text)
    with pytest.raises(InvalidRequest, match="is no state of a farm"):
        StateFile(path)
    assert path.read_text() == text


def test_two_farms_do_not_use_one_and_who_has_it_is_told(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib; from psij_parsl.farm.state_file import StateFile;"
        "s = StateFile(pathlib.Path(sys.argv[1])); s.open({}, fresh=False); print(flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "state")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert other.stdout is not None
    other.stdout.readline()
    with pytest.raises(InvalidRequest, match=f"in use by process {other.pid} on "):
        StateFile(tmp_path / "state")
    other.kill()
    other.communicate()
    assert states(tmp_path / "state") == [NEW] * 6


def test_one_in_which_no_farm_began_is_not_left(tmp_path: Path) -> None:
    StateFile(tmp_path / "state").release()
    assert not (tmp_path / "state").exists()
