"""An array from Python: one job, once for each index; and another that starts when all of its elements have ended.

    $ python job_array.py

The manager is given one job, however many elements there are. Each finds its index in $PSIJ_ARRAY_INDEX.
"""

from psij_parsl import site

executor = site().executor()

script = "echo $PSIJ_ARRAY_INDEX squared is $((PSIJ_ARRAY_INDEX ** 2))"
squares = executor.submit(["bash", "-c", script], array="0-4", wall_time_min="5m")
last = executor.submit(["echo", "all of them are done"], after=squares, wall_time_min="5m")

for element, text in zip(squares.elements(), squares.result(timeout=600), strict=True):
    print(element.id, "says:", text, end="")
print(last.result(timeout=600), end="")
