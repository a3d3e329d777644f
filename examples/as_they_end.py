"""Several jobs from Python, each looked at when it ends; then the same with asyncio.

    $ python as_they_end.py

What `submit` gives is a future: `concurrent.futures` takes it, too, `await` waits for it, and it can be pickled.
"""

import asyncio

from psij_parsl import as_completed, site

executor = site().executor()  # of the machine that we are on; its defaults are in jobs that are given as a command


def submitted(seconds):
    script = f"sleep {seconds}; echo slept {seconds} s; exit {int(seconds == 2)}"
    return executor.submit(["bash", "-c", script], wall_time_min="5m", name=f"sleep-{seconds}")


async def total():
    texts = await asyncio.gather(*(submitted(seconds) for seconds in (1, 0)))
    print("awaited:", ", ".join(text.strip() for text in texts))


for job in as_completed([submitted(seconds) for seconds in (3, 2, 0)], timeout=600):
    error = job.exception()  # None for one that ended well
    print(f"{job.name}:", f"failed, exit code {error.status.exit_code}" if error else job.result().strip())
asyncio.run(total())
