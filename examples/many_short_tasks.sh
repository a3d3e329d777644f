#!/bin/bash
# Many short tasks in one job, by one command; the next job goes on where this one ends.
#
#     $ psij-run run many_short_tasks.sh
#
# Each task has a core of its own, reads its number from {index}, and writes to a file of its own. What has been done is
# in squares.farm: submit it again, and only what is left will run.
#PSIJ -J many-short-tasks -c 2 -t 10

psij-run launch --array 0-199 --resume --state squares.farm -o 'squares/{index:3}.txt' -- \
  bash -c 'echo $(({index} * {index}))'
