"""Simulated resource managers: programs that are all commands of a manager and keep its state in a file.

They really run the scripts that are submitted, and answer as the manager was seen or is documented to, return codes
included. `Simulated` (server.py) starts one for a test and makes it fail in the ways that the field knows.

What they share is here; what is a manager's own is a package in this folder, `simulated/<name>/`, whose attribute
`manager` is an instance of a subclass of `Manager` (manager.py). To write one:

1. `commands`: the name of each command, and a function that takes its words and returns its exit code. It prints the
   answer, and raises `Refused(rc, text)` for an error. A submit command makes a request out of its words (`request()`
   has all fields with defaults, `options.py` helps to read directive lines) and gives it to `manager.submit`; a query
   calls `manager.reach(command)`, reads the jobs with `locked()`, and prints with `manager.answer(text)`; a command
   that changes jobs calls `manager.for_each(command, ids, act)`.
2. The manager's states: `QUEUED`, `HELD`, `RUNNING`, `occupying` and `over`. A job's `state` is the manager's own word.
3. `job_id(number, index)` and `find(state, text)`: ids, and the job that a text names, or `Refused`.
4. `unreachable(command)`: the error when the server does not answer; `print_version(command)`: whose command it is.
5. `accept(job)`: checks a request against queues and limits, raises `Refused` if the server would.
6. `started(job)`, `settle(job)`, `ended(job, how, code)` and `follow(state, array, parts)`: what the manager notes of a
   start, a hold or a release, an end and an array. `ended` sets the final `state` and the manager's exit status. `how`
   is "" (the script ended), "walltime", "memory", "cancelled" or "dependency"; `code` is the exit code, negative for a
   signal, None if it never ran.
7. `environment(job)`, `shell(job)`, `limit_line(...)`: how a job is started, and what is written into its log when it
   exceeds a limit. With `spools`, output is copied to its place at the end; else it is written there at once.

A job is a dict. Fields of a request: see `request()`. Added later: `id`, `number`, `index` (of an array's element, else
None), `state`, `submitted`, `started`, `ended` (seconds since the epoch, 0 for none), `hosts`, `starts`, `session`,
`exit` (as `ended` sets it), `how`. An array is a job whose `array` lists the indices; its elements are further jobs.
A job waits while its `hold` is not empty: letters, "u" for the user's hold, "s" for unmet dependencies.

A test uses it through a fixture: fixtures.py has one for each manager.
"""

from __future__ import annotations

from .manager import Manager, Refused
from .state import JobData, locked, request, root

__all__ = ["JobData", "Manager", "Refused", "locked", "request", "root"]
