"""What the kill tests do to a server and its Redis, and when: a plan that one seed makes, and its execution.

The plan counts in steps of the actors (chaos_actors.py) rather than in seconds, so that the same seed kills the same
processes in the same order after as many acknowledgements, on a fast machine and on a slow one. Which instruction a kill
falls on is the scheduler's, and no seed repeats that."""

import contextlib
import os
import random
import shutil
import signal
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from admin_api import AdminClient
from processes import Processes, children, name_of, start_time, wait_end
from test_two_hosts import write_second_configuration
from under_test import SANITIZER_MARKS, run, wait_until

RECOVERY = 90  # seconds in which everything serves again
PATIENCE = 8  # seconds that a step waits for acknowledgements before it comes without them
COPY_EVERY = 4  # steps between two copies of Redis's data
VICTIMS = {"worker": 5, "admin": 2, "signer": 3, "supervisor": 1, "redis": 3, "redis-silent": 1}


@dataclass(frozen=True)
class Step:
    """One blow: after that many more acknowledgements, at that host, with `pick` choosing among several."""

    after: int
    victim: str
    host: int
    pick: float
    copies: bool = False  # a copy of Redis's data is taken just before

    @property
    def kills(self):
        return self.victim in VICTIMS and self.victim != "redis-silent"


def make_plan(seed, rounds, kills, hosts):
    """`rounds` lists of steps with `kills` kills each, every one of which ends with a restored copy."""
    choice, plan = random.Random(seed), []
    for _ in range(rounds):
        steps, killed = [], 0
        while killed < kills:
            victim = choice.choices(list(VICTIMS), list(VICTIMS.values()))[0]
            steps.append(Step(choice.randint(1, 6), victim, choice.randrange(hosts), choice.random(),
                              len(steps) % COPY_EVERY == 0))
            killed += steps[-1].kills
        plan.append([*steps, Step(choice.randint(1, 6), "restore", choice.randrange(hosts), choice.random())])
    return plan


class ChaosHost:
    """A server that is killed in parts and as a whole, and started again."""

    def __init__(self, base_url, admin, processes, command, environment):
        self.base_url, self.admin, self.processes = base_url, admin, processes
        self.command, self.environment = command, environment

    def start(self):
        self.processes.start("server", self.command, self.environment)

    def pids(self, part):
        supervisor = self.processes.pid("server")
        if part == "supervisor" or supervisor is None:
            return [supervisor] if supervisor else []
        return [pid for pid in children(supervisor) if name_of(pid).startswith(f"oca-{part}")]

    def kill(self, part, pick):
        """True where something was there to be killed."""
        found = self.pids(part)
        if not found:
            return False
        with_it = children(found[0]) if part == "supervisor" else []
        for pid in [found[int(pick * len(found))], *with_it]:
            kill_for_good(pid)
        self.start()
        return True

    def is_ready(self):
        if not self.admin.readiness()[0]:
            return False
        served = [value for name, value in self.admin.metrics().items() if name.startswith("originca_worker_ready")]
        return bool(served) and all(value == 1 for value in served)

    def verify_ledger(self):
        run([*self.command, "ledger", "verify"], self.environment)

    def ledger_lines(self, kind):
        return run([*self.command, "ledger", "show", "--type", kind, "--json"], self.environment).stdout.splitlines()


def kill_for_good(pid):
    started = start_time(pid)
    if started is not None:
        os.kill(pid, signal.SIGKILL)
        assert wait_end(pid, started, 10)


def server_command(configuration):
    return [str(Path(os.environ["ORIGINCA_BUILD"]) / "server" / "originca-server"), "-c", str(configuration)]


def first_host(sandbox):
    return ChaosHost(sandbox["DIRECTORY_URL"].removesuffix("/acme/directory"), sandbox.admin, sandbox.processes,
                     server_command(sandbox["CONFIG"]), {"SOFTHSM2_CONF": sandbox["SOFTHSM2_CONF"]})


class SecondHost(ChaosHost):
    """Another server on the same Redis, with a ledger of its own; gone with `end`."""

    def __init__(self, sandbox):
        self.folder = Path(tempfile.mkdtemp(prefix="originca-"))
        base_url = write_second_configuration(sandbox, self.folder)
        super().__init__(base_url, AdminClient(self.folder / "admin.sock"), Processes(self.folder, self.folder),
                         server_command(self.folder / "originca.conf"), {"SOFTHSM2_CONF": sandbox["SOFTHSM2_CONF"]})
        run([*self.command, "ca", "init"], self.environment)
        self.start()

    def end(self):
        was_killed = self.processes.stop("server")
        log = self.processes.log("server").read_text()
        shutil.rmtree(self.folder)
        assert not was_killed and not any(mark in log for mark in SANITIZER_MARKS), log[-6000:]


class Chaos:
    """Executes a plan; `acknowledged` tells how many acknowledgements the actors have."""

    def __init__(self, sandbox, hosts, folder, acknowledged):
        self.sandbox, self.hosts, self.folder, self.acknowledged = sandbox, hosts, folder, acknowledged
        self.copies = []  # (when it was taken, folder)
        self.killed, self.restored, self.ages = 0, 0, []
        self.restoring = 0  # counts restores that have begun: what only Redis knew may be gone from then on

    def execute(self, step):
        reached = self.acknowledged() + step.after
        wait_until(lambda: self.acknowledged() >= reached, PATIENCE)
        if step.copies:
            self.take_copy()
        if step.victim == "restore":
            self.restore(step.pick)
        elif step.victim == "redis":
            kill_for_good(self.sandbox.processes.pid("redis"))
            self.sandbox.start_redis()
            self.killed += 1
        elif step.victim == "redis-silent":
            self.silence_redis(0.5 + 2.5 * step.pick)
        else:
            host = self.hosts[step.host]
            # A child that was killed a moment ago comes back after its pause; the plan's number of kills is kept.
            assert wait_until(lambda: host.kill(step.victim, step.pick), RECOVERY), f"no {step.victim} came back"
            self.killed += 1

    def silence_redis(self, seconds):
        pid = self.sandbox.processes.pid("redis")
        os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(seconds)
        finally:
            os.kill(pid, signal.SIGCONT)

    @property
    def data(self):
        return self.sandbox.directory / "redis"

    def take_copy(self):
        """While Redis writes: its file is only appended to, so a copy is what it was at one moment."""
        target = self.folder / f"copy-{len(self.copies)}"
        shutil.copytree(self.data, target)
        self.copies.append((time.monotonic(), target))

    def restore(self, pick):
        taken, copy = self.copies[int(pick * len(self.copies))]
        self.restoring += 1
        kill_for_good(self.sandbox.processes.pid("redis"))
        shutil.rmtree(self.data)
        shutil.copytree(copy, self.data)
        self.sandbox.start_redis()
        self.ages.append(time.monotonic() - taken)
        self.restored += 1

    def keep_traces(self):
        """What tells how it came: ledgers, logs and Redis's data, which the sandbox would take with it."""
        for number, host in enumerate(self.hosts):
            with contextlib.suppress(AssertionError):
                records = run([*host.command, "ledger", "show", "--json"], host.environment).stdout
                (self.folder / f"ledger-{number}.jsonl").write_text(records)
            shutil.copy(host.processes.log("server"), self.folder / f"server-{number}.log")
        shutil.copytree(self.data, self.folder / "redis-at-failure", dirs_exist_ok=True)

    def wait_ready(self):
        for host in self.hosts:
            assert wait_until(host.is_ready, RECOVERY, pause=0.1), (
                f"not ready: {host.admin.readiness()}\n{host.processes.log_tail('server', 40)}")
