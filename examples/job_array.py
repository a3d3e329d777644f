"""An array from Python: one job, once for each index; and another that starts when all of its elements have ended.

    $ python job_array.py

The manager is given one job, however many elements there are. Each finds its index in $PSIJ_ARRAY_INDEX.
"""

from psij_parsl import Job, site

machine = site()
executor = machine.executor()

script = "echo $PSIJ_ARRAY_INDEX squared is $((PSIJ_ARRAY_INDEX ** 2))"
squares = executor.submit(
    Job(**machine.complete({"command": ["bash", "-c", script], "array": range(5), "wall_time_min": 5}))
)
last = executor.submit(
    Job(**machine.complete({"command": ["echo", "all of them are done"], "after": [squares], "wall_time_min": 5}))
)

for element in squares.elements():
    print(element.id, "says:", element.result(timeout=600), end="")
print(last.result(timeout=600), end="")
