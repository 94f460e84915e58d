"""What the tests of the fence share: Redis, the ledger and the token of a sandbox, taken away, put back and held, and
what the server says meanwhile.

"Held" is a Redis that lets everybody read and nobody write (it waits for replicas that do not exist), so that the
server stays in the middle of its recovery for as long as a test looks at it."""

import contextlib
import json
import os
import re
import shutil
import signal
from pathlib import Path

import pytest

from acme_raw import make_csr, make_key
from under_test import run, wait_until
from verify import load_chain

SANDBOX_OPTIONS = ("--set", "server.retire_idle_seconds=0", "--set", "server.outage_wait_ms=500",
                   "--set", "signer.signer_timeout_ms=2000")
HELD = ("--min-replicas-to-write", "1")
LAST_LINES = 30  # of the log of a sandbox that is not well
RECOVERY = 60  # seconds; the signer and the connections to Redis come back with back-off


@pytest.fixture
def box(own_sandbox):
    """The module's sandbox, well before the test and after it."""
    check_well(own_sandbox)
    yield own_sandbox
    check_well(own_sandbox, is_to_issue=True)


def check_well(box, is_to_issue=False):
    """A sandbox that is not well is made anew after it has failed one test, so that those that follow are judged by
    themselves."""
    try:
        wait_well(box)
        if is_to_issue:
            box.client().issue([box.name()])
    except Exception as error:
        last = "\n".join(box.log_text().splitlines()[-LAST_LINES:])
        box.renew()
        raise AssertionError(f"the sandbox is not well any more: {error}\nits log ends with\n{last}") from error


# Redis


def redis(box, *words):
    return run(["redis-cli", "-s", box["REDIS_SOCKET"], *words]).stdout.strip()


def start_redis(box, *options):
    """With settings that redis.conf does not hold; returns when it answers."""
    box.processes.start("redis", ["redis-server", str(box.directory / "redis.conf"), *options])

    def answers():
        result = run(["redis-cli", "-s", box["REDIS_SOCKET"], "PING"], check=False)
        return "PONG" in result.stdout or "NOAUTH" in result.stdout

    assert wait_until(answers, 20)


def release(box):
    redis(box, "CONFIG", "SET", "min-replicas-to-write", "0")


def drop_connections(box):
    redis(box, "CLIENT", "KILL", "TYPE", "normal")


def replace_data(box, copy, *options):
    """Redis starts again with the data of a copy, or with none."""
    box.kill_redis()
    shutil.rmtree(box.directory / "redis")
    if copy is None:
        (box.directory / "redis").mkdir(mode=0o700)
    else:
        shutil.copytree(copy, box.directory / "redis")
    start_redis(box, *options)


@pytest.fixture
def backup(box, tmp_path):
    """A copy of Redis's data as it is now; it is put back in the end."""
    copy = tmp_path / "redis-copy"
    shutil.copytree(box.directory / "redis", copy)
    yield copy
    replace_data(box, copy)


@contextlib.contextmanager
def configured(box, section, line):
    """The server runs with one more setting meanwhile."""
    path = Path(box["CONFIG"])
    good = path.read_text()
    path.write_text(good.replace(f"{section} {{\n", f"{section} {{\n    {line}\n", 1))
    try:
        hup(box)
        yield
    finally:
        path.write_text(good)
        hup(box)


def hup(box):
    """Returns when the former workers have ended: they would go on saying what they saw."""
    before, former = box.log_text().count("reload complete"), set(box.workers())
    os.kill(box.supervisor, signal.SIGHUP)
    assert wait_until(lambda: box.log_text().count("reload complete") > before, RECOVERY), box.log_text()[-3000:]
    assert wait_until(lambda: not former & set(box.workers()), RECOVERY)


# What the server says


def readiness(box):
    """The document of readyz; {} while nobody answers."""
    _, text = box.admin.readiness()
    with contextlib.suppress(ValueError):
        return json.loads(text)
    return {}


def serving(box):
    """{worker: does it serve?} by the last word of each in the log; readyz is answered by any of them."""
    words = re.findall(r'(worker-\d+) event=(serving|"not serving")', box.log_text())
    return {worker: word == "serving" for worker, word in words}


def wait_well(box):
    """Ready, and so says every worker."""
    box.wait_ready(RECOVERY)
    assert wait_until(lambda: all(serving(box).values()), RECOVERY), f"not serving: {serving(box)}, {readiness(box)}"


def wait_not_ready(box, part, *words, seconds=RECOVERY):
    """Until readyz says that `part` is not well, for a reason that holds the words, and no worker serves where Redis
    or the ledger is to blame; the reason."""
    seen = []

    def says_why():
        document = readiness(box)
        seen.append(document)
        reason = document.get(part, {}).get("reason", "")
        is_said = document.get("ready") is False and reason and all(word in reason for word in words)
        return reason if is_said and (part == "signer" or not any(serving(box).values())) else None

    reason = wait_until(says_why, seconds)
    assert reason, (seen[-1], serving(box))
    return reason


class Customer:
    """A customer with a certificate, and an order that needs nothing but its finalize."""

    def __init__(self, box):
        self.box, self.client = box, box.client()
        self.name = box.name()
        created = self.client.new_order([self.name]).expect(201)
        self.url, self.order = created.headers["Location"], created.json
        self.csr = make_csr(make_key("p256"), [self.name])

    def issue(self):
        """(serial, PEM chain, leaf)"""
        _, chain, _ = self.client.issue([self.box.name()])
        leaf = load_chain(chain)[0]
        return leaf.serial_number, chain, leaf

    def finalize(self):
        return self.client.finalize(self.order, self.csr)

    def check_refused(self):
        """Neither the order that is ready nor a new one gets anything, and the client is told to come again."""
        self.client.close()
        unnamed = self.client.request("GET", self.client.directory["newNonce"])
        assert unnamed.status == 503 and "Replay-Nonce" not in unnamed.headers, unnamed.text
        for reply in (unnamed, self.finalize(), self.client.new_order([self.box.name()])):
            assert reply.status == 503 and reply.problem == "serverInternal", reply.text
            assert reply.headers["Retry-After"].isdigit()
            assert len(reply.json["detail"]) > 20, reply.text
        return reply.json["detail"]

    def check_not_issued(self):
        """Without a signer no worker knows what became of an attempt: 503, or an order that stays in processing."""
        reply = self.finalize()
        if reply.status == 200:
            assert reply.json["status"] == "processing" and "certificate" not in reply.json, reply.text
        else:
            assert reply.status in (403, 503) and reply.problem in ("orderNotReady", "serverInternal"), reply.text
            assert reply.status != 503 or reply.headers["Retry-After"].isdigit()
        return reply

    def check_served(self):
        """The order is still there and gives one certificate. An attempt that was left in doubt ends either way: given
        up, or carried out by the signer that came back."""
        wait_well(self.box)
        self.client.close()
        seen = []

        def is_decided():
            seen.append(self.client.post(self.url).expect(200).json["status"])
            return seen[-1] in ("ready", "valid")

        assert wait_until(is_decided, RECOVERY, pause=0.3), seen[-1]
        if seen[-1] == "ready":
            assert self.finalize().expect(200).json["status"] == "valid"
        issued = [each for each in self.box.ledger("issued") if each["names"] == [self.name]]
        assert len(issued) == 1, issued
        self.box.server_tool("ledger", "verify")


@pytest.fixture
def customer(box):
    return Customer(box)


def status_of(box, serial):
    return box.admin.get(f"certificates/{serial}")["status"]


def watermark(box):
    return int(redis(box, "HGET", "ledger:sandbox", "applied") or 0)


def last_record(box):
    return json.loads(box.server_tool("ledger", "verify", "--json").stdout)["last_sequence"]


def flush(box):
    """Empties Redis under the server's feet, and holds it, at one moment."""
    commands = "MULTI\nFLUSHALL\nCONFIG SET min-replicas-to-write 1\nEXEC\n"
    run(["sh", "-c", f"printf '{commands}' | redis-cli -e -s {box['REDIS_SOCKET']}"])


def accept_empty(box):
    assert json.loads(box.admin_command("--json", "ledger", "accept-empty").stdout)["last_sequence"] == last_record(box)


# The ledger


@pytest.fixture
def ledger_copy(box, tmp_path):
    """The ledger as it is now, kept elsewhere."""
    copy = tmp_path / "ledger-copy"
    shutil.copytree(box.directory / "ledger", copy)
    return copy


def restart_signer(box):
    signer = box.signer()
    if signer is not None:
        box.kill(signer)


def move(source, target):
    assert not target.exists()
    shutil.move(source, target)


def confirm_loss(box):
    return box.admin_command("--json", "ledger", "confirm-loss", check=False)


def cut_last_records(box, count):
    """The ledger as a restored copy of an earlier moment; the records that are lost."""
    path = sorted((box.directory / "ledger").glob("ledger-*"))[-1]
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-count]))
    return [json.loads(line[65:]) for line in lines[-count:]]


@contextlib.contextmanager
def stopped_signer(box):
    """The ledger can be changed while nobody writes it; a new signer meets it."""
    signer = box.signer()
    os.kill(signer, signal.SIGSTOP)
    yield
    box.kill(signer)


def make_ledger(ledger, mebibytes=1):
    program = Path(os.environ["ORIGINCA_BUILD"]) / "bench" / "make-ledger"
    run([program, ledger, "sandbox", str(mebibytes)])
