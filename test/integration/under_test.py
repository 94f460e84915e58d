"""A sandbox as the tests hold it: its settings, its admin API, its DNS, its processes."""

import contextlib
import http.client
import itertools
import json
import os
import secrets
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts" / "lib"))

from admin_api import AdminClient, AdminError  # noqa: E402
from processes import Processes, children, name_of, start_time, wait_end, wait_until  # noqa: E402

from acme_raw import AcmeClient  # noqa: E402

SANITIZER_MARKS = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:")
_counter = itertools.count()


def run(command, environment=None, timeout=120, check=True, directory=None):
    """Runs a program; where it fails its whole output is the failure's text. Variables set to None are removed."""
    merged = {**os.environ, **(environment or {})}
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=timeout,
                            cwd=directory, stdin=subprocess.DEVNULL,
                            env={name: str(value) for name, value in merged.items() if value is not None})
    if check and result.returncode != 0:
        raise AssertionError(f"{shlex.join(map(str, command))}\nexit {result.returncode}\n{result.stdout}"
                             f"{result.stderr}")
    return result


def _ports_to_choose_from():
    """(first, count): tests that run side by side have ports of their own, for between a look and its use another may take one."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    return (20000 + int(worker[2:]) % 8 * 1250, 1240) if worker.startswith("gw") else (20000, 10000)


def free_port_base(count=3):
    """The first of `count` neighbouring ports that nobody uses, for TCP and UDP."""
    first, choice = _ports_to_choose_from()
    for _ in range(200):
        base = first + secrets.randbelow(choice)
        try:
            with _bound(base, count):
                return base
        except OSError:
            continue
    raise RuntimeError("no free ports found")


@contextlib.contextmanager
def stopped(*pids):
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def silent_name_servers(sandbox, group="provider"):
    """These name servers do not answer, as in an outage."""
    found, waiting = [], [sandbox.processes.pid(f"nsd-{group}")]
    while waiting:
        found.append(waiting.pop())
        waiting += children(found[-1])
    return stopped(*found)


class _bound:
    def __init__(self, base, count):
        self.wanted = [(kind, base + at) for at in range(count) for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM)]
        self.sockets = []

    def __enter__(self):
        try:
            for kind, port in self.wanted:
                self.sockets.append(socket.socket(socket.AF_INET, kind))
                self.sockets[-1].bind(("0.0.0.0", port))  # name servers have other addresses of the loopback network
        except OSError:
            self.__exit__()
            raise

    def __exit__(self, *_):
        for each in self.sockets:
            each.close()


class SandboxUnderTest:
    def __init__(self, directory, *options):
        self.directory = Path(directory)
        self.options = options
        self.env = {}
        self.log_offset = 0
        self.port_base = free_port_base()

    def script(self, *arguments, timeout=180, check=True):
        return run([ROOT / "scripts" / "sandbox", arguments[0], "--dir", self.directory, *arguments[1:]],
                   timeout=timeout, check=check)

    def up(self):
        self.script("up", "--port-base", self.port_base, *self.options, timeout=600)
        lines = (self.directory / "env").read_text().splitlines()
        self.env = {key: shlex.split(value)[0] if value else "" for key, _, value in
                    (line.partition("=") for line in lines)}
        return self

    def down(self):
        """Ends everything; fails when a sanitizer or the supervisor found something."""
        log = self.log_text()
        errors = [line for line in log.splitlines() if any(mark in line for mark in SANITIZER_MARKS)]
        kept = os.environ.get("ORIGINCA_KEEP_LOGS")
        if kept and log:
            Path(kept).mkdir(parents=True, exist_ok=True)
            (Path(kept) / f"{self.directory.name}-{self.port_base}.log").write_text(log)
        ended = self.script("down", "--keep")
        log = self.log_text()
        errors += [line for line in log.splitlines()
                   if any(mark in line for mark in SANITIZER_MARKS) and line not in errors]
        self.script("down")
        assert not errors, "\n".join(errors[:20]) + "\n" + log[-6000:]
        assert "was killed" not in ended.stderr, ended.stderr

    def renew(self):
        """All that it holds is new: what a test broke is not the next one's matter."""
        try:
            self.down()
        finally:
            self.port_base = free_port_base()
            self.up()

    def __getitem__(self, name):
        return self.env[name]

    @property
    def admin(self):
        return AdminClient(self["ADMIN_SOCKET"])

    def admin_command(self, *arguments, check=True):
        """`originca admin …` of the build under test."""
        program = Path(os.environ["ORIGINCA_BUILD"]) / "cli" / "originca"
        return run([program, "admin", "--socket", self["ADMIN_SOCKET"], *arguments], check=check)

    def log_text(self):
        path = Path(self.env.get("LOG", self.directory / "log" / "server.log"))
        return path.read_text(errors="replace") if path.exists() else ""

    def listing(self, target):
        """Every item of a paged list of the admin API: "certificates?zone=shop.test"."""
        items, cursor = [], ""
        while cursor is not None:
            separator = "&" if "?" in target else "?"
            page = self.admin.get(f"{target}{separator}limit=100" + (f"&cursor={quote(cursor)}" if cursor else ""))
            items += page["items"]
            cursor = page.get("cursor") or None
        return items

    def certificates(self, zone):
        return self.listing(f"certificates?zone={zone}")

    # DNS

    def dns(self, verb, name, *value):
        self.script("dns", verb, name, *value)

    # Names, zones, accounts

    def name(self, zone=None):
        """A name nobody has used, proxied by the zone's wildcard."""
        return f"t{next(_counter)}-{secrets.token_hex(2)}.{zone or self['ZONE']}"

    def new_zone(self, customer=None, is_delegated=True):
        """A zone of its own for a test that changes its DNS: onboarded, and active unless not delegated."""
        zone = f"z{next(_counter)}-{secrets.token_hex(2)}.test"
        self.admin.post("zones", {"name": zone, "customer": customer or self["CUSTOMER"]})
        if is_delegated:
            self.dns("delegate", zone)
            self.check_zone(zone, "active")
        return zone

    def check_zone(self, zone, expected):
        answer = {}

        def is_there():
            answer.update(self.admin.post(f"zones/{zone}/check"))
            return answer["status"] == expected

        assert wait_until(is_there, 20, pause=0.3), f"{zone} is not {expected}: {answer}"
        return answer

    def client(self, customer=1, key=None, is_registered=True, **fields):
        """An ACME client, registered by EAB as the first or second customer."""
        suffix = "" if customer == 1 else f"_{customer}"
        client = AcmeClient(self["DIRECTORY_URL"], self["CA_BUNDLE"], key)
        if is_registered:
            client.register(self[f"EAB_KID{suffix}"], self[f"EAB_HMAC{suffix}"], **fields).expect(200, 201)
        return client

    def new_customer(self):
        """A customer whose limits nobody has touched: `id`, an ACME `client`, an `api_key`, and a `zone`."""
        name = f"c{next(_counter)}-{secrets.token_hex(2)}"
        customer = SimpleNamespace(id=self.admin.post("customers", {"name": name})["id"])
        eab = self.admin.post(f"customers/{customer.id}/eab-keys")
        customer.api_key = self.admin.post(f"customers/{customer.id}/api-keys", {"kind": "service-key"})["key"]
        customer.client = self.client(is_registered=False)
        customer.client.register(eab["kid"], eab["hmac"]).expect(201)
        customer.zone = self.new_zone(customer.id)
        return customer

    # Processes

    @property
    def processes(self):
        return Processes(Path(self["ADMIN_SOCKET"]).parent, self.directory / "log")

    @property
    def supervisor(self):
        return self.processes.pid("server")

    def parts(self, part):
        """Pids of the server's processes of that kind: "worker", "signer", "admin"; none while one is being restarted."""
        return [pid for pid in children(self.supervisor) if name_of(pid).startswith(f"oca-{part}")]

    def workers(self):
        return self.parts("worker")

    def signer(self):
        """The signer's pid, None while it is being restarted."""
        return next(iter(self.parts("signer")), None)

    def admin_process(self):
        return next(iter(self.parts("admin")), None)

    def kill(self, pid):
        """kill -9, back when it is dead."""
        started = start_time(pid)
        if started is not None:
            os.kill(pid, 9)
            assert wait_end(pid, started, 10)

    def readiness_of_workers(self):
        """{worker: does it serve}; {} while nobody answers."""
        with contextlib.suppress(OSError, http.client.HTTPException):
            family = "originca_worker_ready"
            return {name: value == 1 for name, value in self.admin.metrics().items() if name.startswith(family)}
        return {}

    def kill_redis(self):
        """Back when the workers know; one that was stopped or killed meanwhile is not waited for."""
        self.kill(self.processes.pid("redis"))
        wait_until(lambda: not any(self.readiness_of_workers().values()), 2)

    def start_redis(self):
        self.processes.start("redis", ["redis-server", str(self.directory / "redis.conf")])

    def wait_ready(self, seconds=60):
        """Until every worker serves, and the admin process has Redis, of which readyz says nothing: each comes back from an
        outage by its own pauses."""
        answers = []

        def is_ready():
            answers[:] = self.admin.readiness()
            return answers[0] and all(self.readiness_of_workers().values()) and has_redis()

        def has_redis():
            try:
                self.admin.get("customers?limit=1")
                return True
            except (AdminError, OSError, http.client.HTTPException) as error:
                answers[:] = False, str(error)
                return False

        assert wait_until(is_ready, seconds), f"not ready: {answers}\n{self.log_text()[-4000:]}"

    def server_tool(self, *arguments, check=True):
        """originca-server with the sandbox's configuration and token."""
        program = Path(os.environ["ORIGINCA_BUILD"]) / "server" / "originca-server"
        return run([program, "-c", self["CONFIG"], *arguments],
                   {"SOFTHSM2_CONF": str(self.directory / "softhsm2.conf")}, check=check)

    def ledger(self, kind):
        """The ledger's records of a type, oldest first."""
        lines = self.server_tool("ledger", "show", "--type", kind, "--json").stdout.splitlines()
        return [json.loads(line) for line in lines]
