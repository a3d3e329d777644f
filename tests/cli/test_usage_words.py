"""What a job has used, in words."""

from __future__ import annotations

import pytest

from psij_parsl.cli.usage_words import cpu_words, memory_words, size, span
from psij_parsl.platforms.usage import MemoryOf, Usage

MIB = 1024**2


@pytest.mark.parametrize(
    ("usage", "words"),
    [
        (Usage(), "-"),
        (Usage(0.3), "0.3s"),
        (Usage(92.0, 380.0, 4), "1m 32s of 4 cores x 1m 35s (24 %, about 1 core busy)"),
        (Usage(95.0, 100.0, 1), "1m 35s of 1 core x 1m 40s (95 %)"),
        (Usage(0.02, 60.0, 1), "0.02s of 1 core x 1m 00s (below 1 %)"),
        (Usage(9.0, 400.0, 4, at_least="first node only"), "at least 9s of 4 cores x 1m 40s (2 %, first node only)"),
        (Usage(300.0, 1200.0, elements=3), "5m 00s of 20m 00s of its cores (25 %, 3 ended elements)"),
    ],
)
def test_cpu_time_for_people(usage: Usage, words: str) -> None:
    assert cpu_words(usage) == words


@pytest.mark.parametrize(
    ("usage", "words"),
    [
        (Usage(), "-"),
        (
            Usage(memory_bytes=812 * MIB, memory_asked_bytes=1024 * MIB, memory_of=MemoryOf.NODE),
            "812 MiB of 1 GiB (79 %, greatest node, an estimate)",
        ),
        (Usage(memory_bytes=12 * MIB), "12 MiB"),
        (Usage(memory_bytes=12 * MIB, memory_of=MemoryOf.PROCESS), "12 MiB (largest process only)"),
        (
            Usage(memory_bytes=MIB, memory_asked_bytes=2 * MIB, elements=2),
            "1 MiB of 2 MiB (50 %, the element that used most)",
        ),
    ],
)
def test_memory_for_people(usage: Usage, words: str) -> None:
    assert memory_words(usage) == words


def test_lengths_and_sizes_for_people() -> None:
    spans = {0.0: "0s", 0.25: "0.25s", 3.21: "3.2s", 9.96: "10s", 59.7: "1m 00s", 3599.6: "1h 00m", 200000.0: "2d 7h"}
    assert {seconds: span(seconds) for seconds in spans} == spans
    sizes = {0: "0 KiB", 500: "0.5 KiB", 1024 * 1023.9: "1 MiB", 1000 * MIB: "1000 MiB", 1536 * MIB: "1.5 GiB"}
    assert {number: size(int(number)) for number in sizes} == sizes
