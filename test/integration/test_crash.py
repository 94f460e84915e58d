"""kill -9 of a worker, the signer or Redis at any moment of an issuance: nothing that was acknowledged is lost, no
order yields two certificates, and the ledger stays whole.

A step is held by stopping the process that has to take it next (SIGSTOP), so that the kill falls exactly there."""

import contextlib
import http.client
import os
import random
import signal
import ssl
import threading
import time

import pytest

from acme_kit import change_key
from acme_raw import AccountKey, make_csr, make_key
from under_test import run, stopped, wait_until
from verify import der_of, load_chain

# Small enough that kills fall into checkpoints and new segments too.
SANDBOX_OPTIONS = ("--workers", "4", "--set", "signer.checkpoint_records=100", "--set", "signer.ledger_segment_bytes=65536")
BROKEN = (OSError, ssl.SSLError, http.client.HTTPException)
SETTLED = 60  # seconds in which recovery must have decided about every order


class Issuance:
    """One order whose finalize runs in a thread of its own, so that something can happen meanwhile."""

    def __init__(self, sandbox):
        self.sandbox = sandbox
        self.client = sandbox.client()
        self.zone = sandbox.new_zone()
        created = self.client.new_order([self.zone]).expect(201)
        self.url, self.order = created.headers["Location"], created.json
        self.csr = make_csr(make_key("p256"), [self.zone])
        self.reply = None
        self.thread = None

    @property
    def id(self):
        return self.url.rpartition("/")[2]

    def finalize_in_background(self):
        sender = self.client.twin()
        sender.nonce = sender.take_nonce()

        def run():
            with contextlib.suppress(*BROKEN):
                self.reply = sender.finalize(self.order, self.csr)

        self.thread = threading.Thread(target=run)
        self.thread.start()
        return self

    def wait_claimed(self):
        assert wait_until(lambda: self.status() == "processing", 20), self.status()
        return self

    def status(self):
        return self.sandbox.admin.get(f"orders/{self.id}")["status"]

    def finish(self):
        """What a client does that was left without a reply: poll, finalize again where the order is ready."""
        if self.thread:
            self.thread.join(60)
        self.sandbox.wait_ready()
        deadline = time.monotonic() + SETTLED
        while time.monotonic() < deadline:
            with contextlib.suppress(*BROKEN):
                reply = self.client.post(self.url)
                status = reply.json.get("status") if reply.status == 200 else None
                if status == "valid":
                    return self.client.post(reply.json["certificate"]).expect(200).text
                if status == "ready":
                    self.client.finalize(self.order, self.csr)
                assert status != "invalid", reply.text
            time.sleep(0.3)
        raise AssertionError(f"the order was not finished within {SETTLED} s: {reply.text}")

    def check(self):
        """Finishes, then: one certificate, the one that was acknowledged; a whole ledger."""
        chain = self.finish()
        if self.reply is not None and self.reply.status == 200 and self.reply.json["status"] == "valid":
            assert self.client.post(self.reply.json["certificate"]).expect(200).text == chain
        good = [each for each in self.sandbox.certificates(self.zone) if each["status"] != "void"]
        assert len(good) == 1 and good[0]["status"] == "valid", good
        assert int(good[0]["serial"]) == load_chain(chain)[0].serial_number
        self.sandbox.server_tool("ledger", "verify")


@pytest.fixture
def issuance(own_sandbox):
    own_sandbox.wait_ready()
    return Issuance(own_sandbox)


def kill_workers(sandbox):
    for pid in sandbox.workers():
        sandbox.kill(pid)


def restart_redis(sandbox):
    sandbox.kill_redis()
    sandbox.start_redis()


def test_worker_dies_after_the_claim_before_the_signer_sees_the_request(own_sandbox, issuance):
    with stopped(own_sandbox.signer()):
        issuance.finalize_in_background().wait_claimed()
        kill_workers(own_sandbox)
    issuance.check()


def test_signer_dies_after_the_claim_before_it_wrote_an_intent(own_sandbox, issuance):
    signer = own_sandbox.signer()
    with stopped(signer):
        issuance.finalize_in_background().wait_claimed()
        own_sandbox.kill(signer)
    issuance.check()


def test_worker_and_signer_die_after_the_claim(own_sandbox, issuance):
    signer = own_sandbox.signer()
    with stopped(signer):
        issuance.finalize_in_background().wait_claimed()
        own_sandbox.kill(signer)
        kill_workers(own_sandbox)
    issuance.check()


def test_redis_dies_after_the_claim(own_sandbox, issuance):
    with stopped(own_sandbox.signer()):
        issuance.finalize_in_background().wait_claimed()
        own_sandbox.kill_redis()
    time.sleep(0.3)
    own_sandbox.start_redis()
    issuance.check()


def ledger_size(sandbox):
    return sum(path.stat().st_size for path in (sandbox.directory / "ledger").rglob("*") if path.is_file())


def signed_but_not_recorded(sandbox, issuance):
    """Leaves Redis stopped at the moment when the signer has written ISSUED and the worker waits for its commit."""
    redis = sandbox.processes.pid("redis")
    size = ledger_size(sandbox)
    with stopped(sandbox.signer()):
        issuance.finalize_in_background().wait_claimed()
        os.kill(redis, signal.SIGSTOP)
    # INTENT and ISSUED are there when the ledger has grown and then grows no more.
    assert wait_until(lambda: ledger_size(sandbox) > size, 20)
    seen = [0]

    def is_quiet():
        before, seen[0] = seen[0], ledger_size(sandbox)
        return before == seen[0]

    assert wait_until(is_quiet, 10, pause=0.5)
    return redis


def test_worker_dies_after_the_signature_before_the_commit(own_sandbox, issuance):
    redis = signed_but_not_recorded(own_sandbox, issuance)
    kill_workers(own_sandbox)
    os.kill(redis, signal.SIGCONT)
    issuance.check()


def test_redis_dies_after_the_signature_before_the_commit(own_sandbox, issuance):
    signed_but_not_recorded(own_sandbox, issuance)
    restart_redis(own_sandbox)
    issuance.check()


def test_everything_dies_after_the_signature_before_the_commit(own_sandbox, issuance):
    signed_but_not_recorded(own_sandbox, issuance)
    own_sandbox.kill(own_sandbox.signer())
    kill_workers(own_sandbox)
    restart_redis(own_sandbox)
    issuance.check()


def test_the_whole_server_dies_after_the_signature_before_the_commit(own_sandbox, issuance):
    redis = signed_but_not_recorded(own_sandbox, issuance)
    children = [*own_sandbox.workers(), own_sandbox.signer()]
    own_sandbox.kill(own_sandbox.supervisor)
    for pid in children:
        own_sandbox.kill(pid)
    os.kill(redis, signal.SIGCONT)
    own_sandbox.up()
    issuance.check()


def test_signer_dies_between_intent_and_certificate(own_sandbox, quick):
    """No process can be stopped there from outside: the ledger is watched, and its growth is the starting shot."""
    voids = 0
    for _ in range(10 if quick else 25):
        own_sandbox.wait_ready()
        issuance = Issuance(own_sandbox)
        signer, size = own_sandbox.signer(), ledger_size(own_sandbox)
        paths = [path for path in (own_sandbox.directory / "ledger").rglob("*") if path.is_file()]
        issuance.finalize_in_background()
        deadline = time.monotonic() + 10
        while sum(os.stat(path).st_size for path in paths) == size and time.monotonic() < deadline:
            pass
        os.kill(signer, signal.SIGKILL)
        assert wait_until(lambda: own_sandbox.signer() not in (None, signer), 30)
        issuance.check()
        voids = len(own_sandbox.ledger("void"))
        if voids:
            break
    assert voids, "no kill fell between intent and certificate"


def test_requests_are_answered_503_while_redis_is_away(own_sandbox):
    client = own_sandbox.client()
    client.take_nonce()
    own_sandbox.kill_redis()
    try:
        reply = client.post(client.kid)
        assert reply.status == 503, reply.text
        assert reply.headers["Retry-After"].isdigit()
        is_ready, reason = own_sandbox.admin.readiness()
        assert not is_ready and "redis" in reason.lower(), reason
    finally:
        own_sandbox.start_redis()
    own_sandbox.wait_ready()
    client.post(client.kid).expect(200)


class Customer(threading.Thread):
    """Issues and revokes without end and remembers every acknowledgement."""

    def __init__(self, sandbox, is_over):
        super().__init__()
        self.sandbox, self.is_over = sandbox, is_over
        self.client = sandbox.client()
        self.issued, self.revoked, self.orders, self.surprises = {}, set(), [], []

    def insist(self, action, *accepted):
        """Repeats until a status says that it is done; what a crash answers is never a reason to give up."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            with contextlib.suppress(*BROKEN):
                reply = action()
                if reply.status in accepted or reply.problem == "alreadyRevoked":
                    return reply
                if reply.problem not in ("serverInternal", "badNonce", "dns", "orderNotReady") and reply.status < 500:
                    self.surprises.append(reply.text)
                    return None
            time.sleep(0.05)
        self.surprises.append("no answer within 120 s")
        return None

    def run(self):
        while not self.is_over.is_set():
            name = self.sandbox.name()
            created = self.insist(lambda: self.client.new_order([name]), 201)
            if created is None:
                return
            url, order = created.headers["Location"], created.json
            self.orders.append(url)
            csr = make_csr(make_key("p256"), [name])
            if not self.complete(url, order, csr):
                return

    def complete(self, url, order, csr):
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            reply = self.insist(lambda: self.client.post(url), 200)
            if reply is None or reply.json["status"] == "invalid":
                self.surprises.append(reply.text if reply else "order lost")
                return False
            if reply.json["status"] == "valid":
                return self.download(url, reply.json["certificate"])
            if reply.json["status"] == "ready":
                with contextlib.suppress(*BROKEN):
                    self.client.finalize(order, csr)
            else:
                time.sleep(0.1)
        self.surprises.append(f"{url} was not finished within 120 s")
        return False

    def download(self, url, certificate):
        reply = self.insist(lambda: self.client.post(certificate), 200)
        if reply is None:
            return False
        self.issued[url] = (certificate, reply.text)
        if random.random() < 0.3:
            leaf = load_chain(reply.text)[0]
            if self.insist(lambda: self.client.revoke(der_of(leaf), 4), 200) is None:
                return False
            self.revoked.add(leaf.serial_number)
        return True


def random_kill(sandbox):
    """True where something was there to be killed. Redis has nobody but us to start it again."""
    victim = random.choices(["worker", "signer", "redis"], [5, 1, 4])[0]
    if victim == "redis":  # back at once: what was on its way meets the new one
        sandbox.kill(sandbox.processes.pid("redis"))
        sandbox.start_redis()
        return True
    pid = sandbox.signer() if victim == "signer" else random.choice(sandbox.workers() or [None])
    if pid is None:
        return False
    sandbox.kill(pid)
    return True


def test_kills_at_random_lose_nothing(own_sandbox, quick):
    kills, done = 25 if quick else 100, 0
    own_sandbox.wait_ready()
    is_over = threading.Event()
    customers = [Customer(own_sandbox, is_over) for _ in range(6)]
    for customer in customers:
        customer.start()
    try:
        while done < kills:
            # Each kill falls among issuances: the one before is over when certificates come again.
            reached = sum(len(customer.issued) for customer in customers)
            wait_until(lambda: sum(len(customer.issued) for customer in customers) > reached + 3, 15)
            time.sleep(random.uniform(0, 0.3))
            done += random_kill(own_sandbox)
    finally:
        is_over.set()
        for customer in customers:
            customer.join(200)
    own_sandbox.wait_ready()
    surprises = [each for customer in customers for each in customer.surprises]
    assert not surprises, surprises[:5]
    orders = [url for customer in customers for url in customer.orders]
    assert len(orders) >= 3 * kills, f"only {len(orders)} orders: the test did not test much"
    for customer in customers:
        for url, (certificate, chain) in customer.issued.items():
            assert customer.client.post(url).expect(200).json["status"] == "valid"
            assert customer.client.post(certificate).expect(200).text == chain
    check_no_order_has_two(own_sandbox, {url.rpartition("/")[2] for url in orders})
    statuses = {int(each["serial"]): each["status"] for each in own_sandbox.listing("certificates")}
    revoked = {serial for customer in customers for serial in customer.revoked}
    assert {statuses[serial] for serial in revoked} <= {"revoked"}
    own_sandbox.server_tool("ledger", "verify")


def check_no_order_has_two(sandbox, orders):
    """By the ledger: one certificate an order at most, and each recorded as it was issued."""
    issued = {}
    intents = {record["attempt"]: record["order"] for record in sandbox.ledger("intent")}
    for record in sandbox.ledger("issued"):
        issued.setdefault(intents[record["attempt"]], []).append(record["serial"])
    twice = {order: serials for order, serials in issued.items() if len(serials) > 1}
    assert not twice, twice
    assert orders & issued.keys()


# Changes of an account key


class KeyChange:
    """One change of an account's key whose request is held at the signer, so that something can happen meanwhile."""

    def __init__(self, sandbox):
        self.sandbox, self.client = sandbox, sandbox.client()
        self.account = self.client.kid.rpartition("/")[2]
        self.fresh = AccountKey()

    def send(self):
        sender = self.client.twin()
        sender.nonce = sender.take_nonce()

        def attempt():
            with contextlib.suppress(*BROKEN):
                change_key(sender, self.fresh)

        threading.Thread(target=attempt, daemon=True).start()
        claim = ["redis-cli", "-s", self.sandbox["REDIS_SOCKET"], "HGET", f"account:{self.account}", "key_claim"]
        assert wait_until(lambda: run(claim).stdout.strip(), 20)

    def wait_ready(self):
        self.sandbox.wait_ready()
        self.client.close()  # its connection went with a worker

    def is_recorded(self):
        return any(record["account"] == self.account for record in self.sandbox.ledger("account-key-changed"))

    def has(self, key):
        twin = self.client.twin()
        twin.key = key
        with contextlib.suppress(*BROKEN):
            return twin.post(twin.kid).status == 200
        return False


@pytest.fixture
def key_change(own_sandbox):
    own_sandbox.wait_ready()
    return KeyChange(own_sandbox)


def test_a_key_change_whose_worker_died_after_its_record_keeps_nobody_from_the_next(own_sandbox, key_change):
    with stopped(own_sandbox.signer()):
        key_change.send()
        workers = own_sandbox.workers()
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
    assert wait_until(key_change.is_recorded, 20)
    for pid in workers:
        own_sandbox.kill(pid)
    key_change.wait_ready()
    assert wait_until(lambda: key_change.has(key_change.fresh), 20)
    key_change.client.key, last = key_change.fresh, AccountKey()
    change_key(key_change.client, last).expect(200)
    assert key_change.has(last) and not key_change.has(key_change.fresh)


def test_a_key_change_that_broke_off_goes_on_when_it_is_sent_again_and_another_waits_for_it(own_sandbox, key_change):
    """Worker and signer die before there is a record."""
    signer = own_sandbox.signer()
    with stopped(signer):
        key_change.send()
        own_sandbox.kill(signer)
        kill_workers(own_sandbox)
    key_change.wait_ready()
    assert not key_change.is_recorded()
    other = change_key(key_change.client, AccountKey())
    assert (other.status, other.problem) == (503, "serverInternal"), other.text
    assert 0 < int(other.headers["Retry-After"]) <= 30
    newcomer = own_sandbox.client(is_registered=False, key=key_change.fresh)
    refused = newcomer.register(own_sandbox["EAB_KID"], own_sandbox["EAB_HMAC"])
    assert refused.status == 503 and "Retry-After" in refused.headers, refused.text
    change_key(key_change.client, key_change.fresh).expect(200)
    assert key_change.has(key_change.fresh)
