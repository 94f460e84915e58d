"""A Redis that goes back in time, by a restored copy, a fail-over or because it was emptied, brings nothing back that was
acknowledged as gone; and nobody serves it before every host has compared its ledger with it or an operator has excused
those that do not come."""

import contextlib
import json
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from acme_raw import compact, make_jws
from admin_api import AdminClient
from processes import Processes
from rest_client import RestClient, service_key
from test_two_hosts import write_second_configuration
from under_test import SANITIZER_MARKS, run, start_time, wait_end, wait_until

SANDBOX_OPTIONS = ("--workers", "1", "--set", "server.retire_idle_seconds=0", "--set", "dns.dns_share_ms=0")
RECOVERY = 60


def redis(box, *words):
    return run(["redis-cli", "-s", box["REDIS_SOCKET"], *words]).stdout.strip()


def start_redis(box):
    box.start_redis()
    assert wait_until(lambda: "PONG" in run(["redis-cli", "-s", box["REDIS_SOCKET"], "PING"], check=False).stdout, 20)


def reason_of(admin):
    _, text = admin.readiness()
    with contextlib.suppress(ValueError):
        return json.loads(text).get("ledger", {}).get("reason", "")
    return ""


def wait_refused(admin, *words):
    """Until readyz refuses for a reason that holds the words; the reason."""
    seen = []

    def is_said():
        seen.append(reason_of(admin))
        return all(word in seen[-1] for word in words) and seen[-1]

    assert wait_until(is_said, RECOVERY, pause=0.05), seen[-1]
    return seen[-1]


class OldCopy:
    """Redis as it was at a moment. A restore takes the whole folder: what was written since is not there any more."""

    def __init__(self, box, folder):
        self.box, self.copy = box, folder / "redis-copy"
        shutil.copytree(box.directory / "redis", self.copy)

    def put_back(self):
        """While Redis is down; returns when it answers again."""
        self.box.kill_redis()
        shutil.rmtree(self.box.directory / "redis")
        shutil.copytree(self.copy, self.box.directory / "redis")
        start_redis(self.box)


@pytest.fixture
def box(own_sandbox):
    own_sandbox.wait_ready(RECOVERY)
    yield own_sandbox
    own_sandbox.wait_ready(RECOVERY)


@pytest.fixture
def copy_now(box, tmp_path):
    return lambda: OldCopy(box, Path(tempfile.mkdtemp(dir=tmp_path)))


# Nonces


def read_account(client, nonce):
    return client.post_raw(client.kid, compact(make_jws(client.key, client.kid, None, nonce, client.kid)))


def test_a_nonce_of_before_is_not_taken_a_second_time(box, copy_now):
    client = box.client()
    client.request("HEAD", client.directory["newNonce"])
    copy, nonce = copy_now(), client.take_nonce()
    order = compact(make_jws(client.key, client.directory["newOrder"],
                             {"identifiers": [{"type": "dns", "value": box.name()}]}, nonce, client.kid))
    client.post_raw(client.directory["newOrder"], order).expect(201)
    copy.put_back()
    box.wait_ready(RECOVERY)
    client.close()
    again = client.post_raw(client.directory["newOrder"], order)
    assert again.status == 400 and again.problem == "badNonce", again.text
    assert "Redis" not in again.text
    read_account(client, client.take_nonce()).expect(200)


def test_nonces_of_before_end_where_data_goes_back_under_a_running_redis(box):
    """As an import of old data does it: neither process nor connection changes."""
    client = box.client()
    client.request("HEAD", client.directory["newNonce"])
    spent = client.take_nonce()
    read_account(client, spent).expect(200)
    before = box.admin.metrics()["originca_redis_went_back_total"]
    redis(box, "EVAL", "redis.call('HSET', 'ledger:sandbox', 'applied', 0) for _, key in ipairs(redis.call('KEYS', 'nonce:*')) "
          "do redis.call('DEL', key) end return 1", "0")
    assert wait_until(lambda: box.admin.metrics()["originca_redis_went_back_total"] > before, RECOVERY)
    box.wait_ready(RECOVERY)
    client.close()
    reply = read_account(client, spent)
    assert reply.problem == "badNonce", reply.text


# A second host


class Second:
    """Another server on the sandbox's Redis, that comes and goes."""

    def __init__(self, box):
        self.box, self.folder = box, Path(tempfile.mkdtemp(prefix="originca-"))
        self.base_url = write_second_configuration(box, self.folder)
        self.admin = AdminClient(self.folder / "admin.sock")
        self.processes = Processes(self.folder, self.folder)
        self.program = Path(os.environ["ORIGINCA_BUILD"]) / "server" / "originca-server"
        self.token = {"SOFTHSM2_CONF": box["SOFTHSM2_CONF"]}
        run([self.program, "-c", self.folder / "originca.conf", "ca", "init"], self.token)

    def start(self, is_ready=True):
        self.processes.start("server", [self.program, "-c", self.folder / "originca.conf"], self.token)
        if is_ready:
            assert wait_until(lambda: self.admin.readiness()[0], RECOVERY), self.processes.log_tail("server")

    def stop(self):
        assert not self.processes.stop("server")
        log = self.processes.log("server").read_text()
        assert not any(mark in log for mark in SANITIZER_MARKS), log[-6000:]


@pytest.fixture(scope="module")
def copy_before_second(own_sandbox, tmp_path_factory):
    return OldCopy(own_sandbox, tmp_path_factory.mktemp("before-second"))


@pytest.fixture(scope="module")
def shared_second(own_sandbox, copy_before_second):
    second = Second(own_sandbox)
    second.start()
    yield second
    shutil.rmtree(second.folder)


@pytest.fixture
def second(box, shared_second):
    """Runs before and after."""
    assert wait_until(lambda: shared_second.admin.readiness()[0], RECOVERY)
    yield shared_second
    if shared_second.processes.pid("server") is None:
        shared_second.start()
    assert wait_until(lambda: shared_second.admin.readiness()[0], RECOVERY)


@pytest.fixture(scope="module", autouse=True)
def no_second_is_left(own_sandbox, request):
    """The sandbox ends without the second host."""
    yield
    if "shared_second" in request.fixturenames:
        request.getfixturevalue("shared_second").stop()


def hosts_of(box):
    return {item["host"]: item["missing"] for item in box.admin.get("ledger/hosts")["items"]}


def restart_redis(box):
    box.kill_redis()
    start_redis(box)


def test_a_redis_that_was_started_again_waits_for_all_hosts(box, second):
    assert hosts_of(box) == {"sandbox": False, "second": False}
    restart_redis(box)
    box.wait_ready(RECOVERY)  # both are there: nobody has to do anything
    assert hosts_of(box) == {"sandbox": False, "second": False}
    second.stop()
    box.client().issue([box.name()])  # that a host is away concerns nobody as long as Redis stays the same
    restart_redis(box)
    reason = wait_refused(box.admin, "the ledger of second")
    assert "originca admin ledger excuse second" in reason
    assert hosts_of(box) == {"sandbox": False, "second": True}
    second.start()
    box.wait_ready(RECOVERY)


def test_a_host_that_does_not_come_is_excused_and_may_come_back(box, second):
    second.stop()
    restart_redis(box)
    wait_refused(box.admin, "the ledger of second")
    box.admin_command("ledger", "excuse", "second")
    box.wait_ready(RECOVERY)
    box.client().issue([box.name()])
    restart_redis(box)  # another run is another question
    wait_refused(box.admin, "the ledger of second")
    box.admin_command("ledger", "excuse", "second", "--for-good")
    box.wait_ready(RECOVERY)
    assert hosts_of(box) == {"sandbox": False}
    restart_redis(box)
    box.wait_ready(RECOVERY)
    second.start()
    assert hosts_of(box) == {"sandbox": False, "second": False}
    refused = box.admin_command("ledger", "excuse", "second", check=False)
    assert refused.returncode == 1 and "nobody waits for second" in refused.stderr
    refused = box.admin_command("ledger", "excuse", "sandbox", check=False)
    assert refused.returncode == 1 and "this is sandbox" in refused.stderr


def test_a_copy_that_never_heard_of_a_host_waits_for_it_all_the_same(box, copy_before_second, second):
    key = box.admin.post(f"customers/{box['CUSTOMER']}/api-keys", {"kind": "service-key"})["key"]
    rest = RestClient(f"{second.base_url}/client/v4", box["CA_BUNDLE"], service_key(key))
    assert rest.create([box.name()]).status == 200
    second.stop()
    assert wait_until(lambda: box.admin.metrics()["originca_ledger_hosts"] == 2, RECOVERY)
    copy_before_second.put_back()
    wait_refused(box.admin, "the ledger of second")
    second.start(is_ready=False)
    reason = wait_refused(second.admin, "knows nothing of this host")
    assert "originca admin ledger accept-empty" in reason
    second.admin.post("ledger/accept-empty")
    box.wait_ready(RECOVERY)
