"""The base class of the simulated managers: requests, queries and changes, with the faults that a test may set."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from . import supervisor, turn
from .state import CONTROL, JobData, locked, root

State = dict[str, Any]


class Refused(Exception):
    """An error of a command: its exit code and text."""

    def __init__(self, rc: int, text: str) -> None:
        super().__init__(text)
        self.rc, self.text = rc, text


class Manager:
    """One manager; see the package's docstring for what a subclass supplies."""

    name = ""
    server = "head"
    first_number = 1  # of the ids
    nodes: Mapping[str, Mapping[str, int]] = {}
    queues: Mapping[str, Mapping[str, Any]] = {}  # name -> limits; `started: False` keeps its jobs waiting
    settings: Mapping[str, Any] = {}  # what a test may set besides `CONTROL`
    commands: Mapping[str, Callable[[list[str]], int]] = {}
    QUEUED, HELD, RUNNING = "Q", "H", "R"
    occupying = frozenset(("R",))  # the states of jobs that have nodes
    over = frozenset(("C",))  # the states of ended jobs
    spools = True
    version_option = "--version"  # with it alone, a command prints `version`; such calls are not counted
    broken_rc = 1  # the submit command's exit code with the setting `broken`

    # ---- to be supplied ------------------------------------------------------------------------------------------

    def job_id(self, number: int, index: int | None = None, *, array: bool = False) -> str:
        """The id of a job, an array or an array's element."""
        raise NotImplementedError

    def find(self, state: State, text: str) -> JobData:
        """The job that a text names. Raises `Refused`."""
        raise NotImplementedError

    def unreachable(self, command: str) -> Refused:
        """The error of a command when the server does not answer."""
        raise NotImplementedError

    def print_version(self, command: str) -> None:
        """Print whose command it is."""
        raise NotImplementedError

    def accept(self, job: JobData) -> None:
        """Check a request, and fill in what the server adds. Raises `Refused`."""

    def changeable(self, command: str, job: JobData) -> None:
        """Raise `Refused` if a command cannot change this job, such as one that has ended."""

    def settle(self, job: JobData) -> None:
        """Set the state of a job that has been submitted, held or released."""
        job["state"] = self.HELD if job["hold"] else self.QUEUED

    def depend(self, state: State, job: JobData) -> None:
        """Free a job whose dependencies are met; do with one that never can start as the manager does."""
        turn.depend(self, state, job)

    def started(self, job: JobData) -> None:
        """Note a start."""

    def blocked(self, job: JobData, *, ever: bool) -> None:
        """Note that a job does not fit just now; `ever`: whether it would on idle nodes."""

    def ended(self, job: JobData, how: str, code: int | None) -> None:
        """Note an end: set `state` and `exit`."""
        raise NotImplementedError

    def follow(self, state: State, array: JobData, parts: Sequence[JobData]) -> None:
        """Note how an array is doing, after its elements."""
        if all(part["state"] in self.over for part in parts):
            array["state"] = parts[-1]["state"]
            array["ended"] = time.time()
        elif any(part["started"] for part in parts):
            array["state"] = self.RUNNING

    def environment(self, job: JobData) -> dict[str, str]:
        """The variables of a job."""
        raise NotImplementedError

    def shell(self, job: JobData) -> tuple[list[str], str, bytes]:
        """The arguments, program and standard input that run a job's script."""
        return [job["script"]], job["script"], b""

    def place_of(self, job: JobData, place: str) -> str:
        """Where an output goes, with the manager's patterns in it replaced."""
        return place

    def signals_to_end(self, how: str) -> Sequence[int]:
        """The signals by which a job is ended, one after the other; then it is killed."""
        return (signal.SIGTERM,)

    def limit_line(self, how: str, used: float, limit: int) -> str:
        """What is written to a job's log when it is ended for its wall time or memory."""
        return ""

    # ---- the commands' parts -------------------------------------------------------------------------------------

    def main(self, command: str, words: list[str]) -> int:
        """Run one command, or a job (`supervise ID`); returns the exit code."""
        if command == "supervise":
            supervisor.supervise(self, words[0])
            return 0
        if words == [self.version_option]:
            self.print_version(command)
            return 0
        with open(root() / "calls", "a") as calls:
            calls.write(json.dumps([command, *words]) + "\n")
        try:
            return self.commands[command](words)
        except Refused as refused:
            self.complain(command, refused)
            return refused.rc

    def control(self) -> dict[str, Any]:
        """The settings of the test."""
        path = root() / "control.json"
        return {**CONTROL, **self.settings, **(json.loads(path.read_text()) if path.exists() else {})}

    def complain(self, command: str, refused: Refused) -> None:
        """Print an error."""
        sys.stderr.write(f"{command}: {refused.text}\n")

    def reach(self, command: str) -> None:
        """Wait for the server. Raises `Refused` if it does not answer."""
        while (server := self.control()["server"]) in ("hung", "deaf"):
            time.sleep(0.05)
        if server == "down":
            raise self.unreachable(command)
        with locked() as state:
            for path in sorted((root() / "requests").glob("*")):  # what waited while it hung; its client may be gone
                with suppress(Refused):
                    self.create(state, json.loads(path.read_text()))
                path.unlink()
            turn.turn(self, state)

    def submit(self, command: str, job: JobData) -> JobData:
        """Hand a request to the server. Returns the job; raises `Refused`."""
        requests = root() / "requests"
        requests.mkdir(exist_ok=True)
        ticket = job["ticket"] = uuid.uuid4().hex
        if self.control()["server"] == "hung":  # the request is in the server's socket already
            (requests / f".{ticket}").write_text(json.dumps(job))
            (requests / f".{ticket}").rename(requests / ticket)
        self.reach(command)
        with locked() as state:
            made = next((other for other in state["jobs"].values() if other["ticket"] == ticket), None)
            made = made or self.create(state, job)
            turn.turn(self, state)
        if broken := self.control()["broken"]:
            raise Refused(self.broken_rc, broken)
        return made

    def create(self, state: State, job: JobData) -> JobData:
        """Make a job of a request, with its elements. Raises `Refused`."""
        self.accept(job)
        number = state["next"]
        state["next"] += 1
        if job["depend"]:
            job["hold"] += "s"
        job |= {
            "id": self.job_id(number, array=bool(job["array"])),
            "number": number,
            "index": None,
            "submitted": time.time(),
            "started": 0,
            "ended": 0,
            "exit": None,
            "how": "",
            "hosts": [],
            "session": 0,
            "starts": 0,
        }
        self.settle(job)
        script = root() / "scripts" / job["id"]
        script.parent.mkdir(exist_ok=True)
        script.write_text(job.pop("text"), errors="surrogateescape")
        script.chmod(0o700)
        job["script"] = str(script)
        state["jobs"][job["id"]] = job
        for index in job["array"]:
            element = {**job, "id": self.job_id(number, index), "array": [], "index": index}
            state["jobs"][element["id"]] = element
        return job

    def elements(self, state: State, job: JobData) -> list[JobData]:
        """The jobs that stand for it: an array's elements that are not forgotten, else itself."""
        if not job["array"]:
            return [job]
        ids = (self.job_id(job["number"], index) for index in job["array"])
        return [state["jobs"][element_id] for element_id in ids if element_id in state["jobs"]]

    def answer(self, text: str) -> None:
        """Print the answer to a query, or as much of it as the setting `truncate` leaves."""
        size = self.control()["truncate"]
        sys.stdout.write(text[:size] if size else text)

    def print_id(self, text: str) -> None:
        """Print the submit command's answer, with what the setting `answer` adds."""
        print(self.control()["answer"].format(id=text))

    def for_each(
        self, command: str, ids: Iterable[str], act: Callable[[State, JobData], None], *, whole: bool = False
    ) -> int:
        """Do something to each job, to an array's elements one by one unless `whole`. Returns the last error's code."""
        self.reach(command)
        rc = 0
        with locked() as state:
            for text in ids:
                try:
                    job = self.find(state, text)
                    self.changeable(command, job)
                    for part in [job] if whole else self.elements(state, job):
                        if part["state"] not in self.over:
                            act(state, part)
                except Refused as refused:
                    self.complain(command, refused)
                    rc = refused.rc
            turn.turn(self, state)
        return rc

    # ---- what may become of a job --------------------------------------------------------------------------------

    def waits(self, job: JobData) -> bool:
        return job["state"] in (self.QUEUED, self.HELD)

    def cancel(self, job: JobData, by: str = "user") -> None:
        """End a job that waits; have one that runs ended by its supervisor."""
        if self.waits(job):
            job["cancelled_by"] = by
            self.end(job, "cancelled", None)
        else:
            job["cancelled_by"] = by

    def hold(self, job: JobData, letter: str = "u") -> None:
        """Keep a job from starting."""
        job["hold"] = letter + job["hold"].replace(letter, "")
        if self.waits(job):
            self.settle(job)

    def release(self, job: JobData, letter: str = "u") -> None:
        job["hold"] = job["hold"].replace(letter, "")
        if self.waits(job):
            self.settle(job)

    def signal(self, job: JobData, number: int) -> None:
        """Send a signal to all processes of a job that runs."""
        supervisor.to_session(job["session"], number)

    def end(self, job: JobData, how: str, code: int | None) -> None:
        """Note an end."""
        job.update(ended=time.time(), how=how)
        self.ended(job, how, code)

    def base_environment(self, job: JobData) -> dict[str, str]:
        """What each job has that is given nothing of its submitter's."""
        return {
            "HOME": job["home"],
            "LOGNAME": job["owner"],
            "USER": job["owner"],
            "SHELL": "/bin/bash",
            "PATH": "/usr/local/bin:/usr/bin:/bin",
        }

    def inherited_environment(self) -> dict[str, str]:
        """What a submit command sees of its caller's variables."""
        return {name: text for name, text in os.environ.items() if not name.startswith("SIMULATED_")}
