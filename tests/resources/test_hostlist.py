"""Host lists: every form that managers write, and agreement with Slurm's own reading of its own."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from psij_parsl.errors import AllocationError
from psij_parsl.resources.hostlist import compress, counts, expand, lines, numbers, pe_hostfile, slots
from tests.clusters.slurm import SlurmCluster


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", ""),
        ("node01", "node01"),
        ("node[01-03,7]", "node01 node02 node03 node7"),
        ("n[098-101]", "n098 n099 n100 n101"),  # the first number's width
        ("n[8-010]", "n8 n9 n10"),
        ("n[1-2,1]", "n1 n2 n1"),
        ("a1,b[2-3]-ib0,c", "a1 b2-ib0 b3-ib0 c"),
        ("a[1-2] b1\tb2\n", "a1 a2 b1 b2"),
        ("r[0-1]c[0-1]n[0-1]", "r0c0n0 r0c0n1 r1c0n0 r1c0n1 r0c1n0 r0c1n1 r1c1n0 r1c1n1"),  # Slurm's order
        ("a[1-2,x[3-4]]b", "a1b a2b ax3b ax4b"),
        ("[1-3]", "1 2 3"),
        ("login,node-3", "login node-3"),
    ],
)
def test_a_compressed_list_is_expanded(text: str, names: str) -> None:
    assert expand(text) == tuple(names.split())


@pytest.mark.parametrize(
    "text", ["a[3-1]", "a[", "a[1", "a1]", "a[]", "a[1,", "a[1]]", "n[0-99999999]", "n[0-9999]" * 3]
)
def test_a_list_that_cannot_be_read_is_refused_with_the_place(text: str) -> None:
    with pytest.raises(AllocationError, match="cannot read the host list .* at character"):
        expand(text)


def test_cobalts_bare_numbers_are_named() -> None:
    names = expand("1001-1003,1030,7", prefix="nid", width=5)
    assert names == ("nid01001", "nid01002", "nid01003", "nid01030", "nid00007")
    assert expand("", prefix="nid", width=5) == ()


def test_counts_per_node() -> None:
    assert counts("4(x2),3") == (4, 4, 3)
    assert counts("128") == (128,)
    for wrong in ("", "4(x", "a", "4,,3", "-1", "4(x99999999)"):
        with pytest.raises(AllocationError):
            counts(wrong)


def test_slots_of_lsf() -> None:
    assert slots("h1 4 h2 4 h1 2") == {"h1": 6, "h2": 4}
    for wrong in ("h1", "h1 x", "h1 4 h2"):
        with pytest.raises(AllocationError):
            slots(wrong)


def test_lines_of_a_node_file_are_counted_in_their_order() -> None:
    assert list(lines("b\nb\n\na\nb\n").items()) == [("b", 3), ("a", 1)]


def test_grid_engines_host_file() -> None:
    text = "node01 2 all.q@node01 UNDEFINED\nnode02 2 all.q@node02 0,4:0,5\nnode03 2 q <NULL>\nnode04 2 q 0,1:1,1\n"
    assert list(pe_hostfile(text)) == [("node01", 2, ()), ("node02", 2, (4, 5)), ("node03", 2, ()), ("node04", 2, ())]
    with pytest.raises(AllocationError):
        list(pe_hostfile("node01 many q UNDEFINED"))


def test_numbers_of_a_kernel_list() -> None:
    assert numbers("0-2,8\n") == (0, 1, 2, 8)
    assert numbers("") == ()


# ---- properties ------------------------------------------------------------------------------------------------

_STEM = st.from_regex(r"[a-z][a-z.-]{0,3}", fullmatch=True)
_NUMBER = st.integers(0, 1100)


@st.composite
def _bracket(draw: st.DrawFn) -> str:
    parts = []
    for _ in range(draw(st.integers(1, 3))):
        low, width = draw(_NUMBER), draw(st.integers(0, 5))
        first = str(low).zfill(width)
        more = draw(st.integers(0, 12))
        parts.append(f"{first}-{low + more}" if more else first)
    return f"[{','.join(parts)}]"


@st.composite
def _list(draw: st.DrawFn) -> str:
    """Lists as Slurm writes and takes them: no text after the last bracket."""
    names = []
    for _ in range(draw(st.integers(1, 4))):
        dimensions = draw(st.integers(0, 3))
        names.append("".join(draw(_STEM) + draw(_bracket()) for _ in range(dimensions)) or draw(_STEM) + "7")
    return ",".join(names)


@given(st.lists(st.from_regex(r"[a-z]{1,3}[0-9]{0,4}(-[a-z]{1,2}[0-9]{0,2})?", fullmatch=True), max_size=40))
@example(["n9", "n10", "n09", "n99", "n100", "n100"])
def test_what_was_compressed_expands_to_the_same(names: list[str]) -> None:
    assert expand(compress(names)) == tuple(names)


@given(st.integers(0, 99990), st.integers(1, 300), st.integers(0, 6))
def test_neighbours_are_compressed_to_one_range(first: int, number: int, width: int) -> None:
    names = [f"nid{str(at).zfill(width)}-ib0" for at in range(first, first + number)]
    assert expand(compress(names)) == tuple(names)
    if width >= 6:
        assert compress(names).count("[") <= 1


def _hostnames(slurm: SlurmCluster, text: str) -> list[str]:
    return slurm.run("scontrol", "show", "hostnames", text).split()


@given(text=_list())
@settings(deadline=None, max_examples=100)
def test_every_list_expands_as_slurm_expands_it(slurm_plain: SlurmCluster, text: str) -> None:
    assert list(expand(text)) == _hostnames(slurm_plain, text)


@given(names=st.lists(st.from_regex(r"[a-z]{1,3}[0-9]{1,4}", fullmatch=True), min_size=1, max_size=20))
@settings(deadline=None, max_examples=50)
def test_slurm_reads_what_we_compress(slurm_plain: SlurmCluster, names: list[str]) -> None:
    assert _hostnames(slurm_plain, compress(names)) == names
