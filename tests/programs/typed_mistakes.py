"""A user's program with a mistake in each line that says so, for type checkers to find."""

from psij_parsl import BatchSchedulerExecutor, Job, as_completed, farm, parsl_config, site

executor = BatchSchedulerExecutor("local")
job = executor.submit(["hostname"], wall_time="1h")  # mistake
Job(num_nodes=2)  # mistake
Job(command=["hostname"], memory_per_node=4.5)  # mistake
Job(command=["hostname"], num_node=2)  # mistake
executor.submit(len)  # mistake
print(executor.status(job).stat)  # mistake
print(executor.status([job]).state)  # mistake
as_completed([job.id])  # mistake
site(7)  # mistake
site("laptop").executor().submit(["hostname"], array=4)  # mistake
farm.map(len, [1])  # mistake
farm.map(["echo", "{}"], 3)  # mistake
farm.map(len, ["a"], core=2)  # mistake
print(next(farm.map(["echo", "{}"], [3])).exit_code)  # mistake
next(farm.map(len, ["a"])).upper()  # mistake
parsl_config(7)  # mistake
parsl_config(sites={"a": 7})  # mistake
print(site("laptop").parsl_config(num_nodes=1).retry)  # mistake
