#!/bin/bash
# Many tasks in one job: each takes cores of its own, and waits while there are none.
#
#     $ psij-run run many_tasks.sh      # eight tasks; `many_tasks.sh 1000` for more
#
# `psij-run launch` starts a task on idle cores of the job. Here each has one rank; `-n 8 -c 2 -g 1` would give it
# eight, with two cores and a GPU each, on one node or on several. What each printed is in task.1, task.2 and so on.
#PSIJ -J many-tasks -n 2 -t 10

tasks=()
for number in $(seq "${1:-8}"); do
  psij-run launch -o "task.$number" -- bash -c 'echo "task $1 has cores $PSIJ_CPUS"' task "$number" &
  tasks+=($!)
done

failed=0
for task in "${tasks[@]}"; do
  wait "$task" || failed=$((failed + 1))
done
echo "${#tasks[@]} tasks, $failed of them failed"
exit $((failed > 0))
