"""One job from Python: submitted, waited for, and its result; then one that fails, and how it says why.

    $ python one_job.py

It runs wherever you are: on a laptop under the embedded platform `local`, on a cluster under its resource manager.
Where the machine asks for a queue or a project, add them: `queue="debug", project="chem"`.
"""

from psij_parsl import JobFailed, site

executor = site().executor()  # of the machine that we are on; site("polaris") is one by its name

# A job is the words of its command, and what is asked for it; the defaults, environment and setup of the site are added.
hello = executor.submit(["echo", "hello from a job"], wall_time_min="5m")
print("submitted as", hello.id)
print(hello.result(timeout=600), end="")  # waits, and gives what the job printed
print("it is", hello.status().state.name)

broken = executor.submit(["ls", "/no/such/file"], wall_time_min="5m")
try:
    broken.result(timeout=600)
except JobFailed as error:  # with the reason, a hint, and the end of the job's stderr
    print("the other one failed:", error)
