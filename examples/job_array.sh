#!/bin/bash
# An array from the command line: this script runs once for each index.
#
#     $ psij-run submit job_array.sh        # then: psij-run status last, psij-run logs last_3
#     $ psij-run run --array 0-9 job_array.sh
#
# Its #PSIJ lines are flags of psij-run, and what is typed wins over them. Each element has an output file of its own:
# `-o square.out` makes square.out.0, square.out.1 and so on.
#PSIJ -J squares -t 5
#PSIJ --array 0-4
#PSIJ -o square.out

echo "$PSIJ_ARRAY_INDEX squared is $((PSIJ_ARRAY_INDEX ** 2))"
