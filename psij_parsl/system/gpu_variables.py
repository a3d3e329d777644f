"""Environment variables that list the GPUs visible to a process."""

from __future__ import annotations

from collections.abc import Mapping

#: The vendor by variable: the value lists the GPUs that the process may use. Where several list any,
#: the first of them counts, for the vendor and for the GPUs: on AMD's hosts HIP's and CUDA's variable count within the
#: ROCR mask.
GPU_VARIABLES: Mapping[str, str] = {
    "ZE_AFFINITY_MASK": "intel",
    "ROCR_VISIBLE_DEVICES": "amd",
    "HIP_VISIBLE_DEVICES": "amd",
    "CUDA_VISIBLE_DEVICES": "nvidia",
}
