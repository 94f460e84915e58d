"""An order whose signing fails for the moment stays in processing: the server finishes it, or ends it with a reason."""

import time

import pytest

from acme_raw import make_csr, make_key
from rest_client import make_csr as make_rest_csr
from rest_client import rest
from under_test import run, silent_name_servers, stopped, wait_until
from verify import load_chain

SANDBOX_OPTIONS = ("--workers", "2", "--set", "signer.signer_timeout_ms=1500", "--set", "signer.claim_timeout_seconds=2",
                   "--set", "acme.resume_first_seconds=1", "--set", "acme.resume_longest_seconds=2",
                   "--set", "dns.dns_deadline_ms=2000")
SETTLED = 60


class Waiting:
    """An order that was finalized while the signer was dead: in processing, and nothing is signed for it."""

    def __init__(self, sandbox, zone=None):
        self.sandbox, self.zone = sandbox, zone or sandbox.new_zone()
        self.client = sandbox.client()
        self.name = f"www.{self.zone}"
        created = self.client.new_order([self.name]).expect(201)
        self.url, self.order = created.headers["Location"], created.json
        self.id = self.url.rpartition("/")[2]
        self.csr = make_csr(make_key("p256"), [self.name])

    def finalize(self, during=lambda: None):
        """What happens `during` has happened before the signer is back."""
        signer = self.sandbox.signer()
        with stopped(signer):
            reply = self.client.finalize(self.order, self.csr).expect(200)
            assert reply.json["status"] == "processing" and reply.headers["Retry-After"]
            during()
            self.sandbox.kill(signer)
        return self

    def finalize_without_signing(self, during):
        """While an operator has stopped this host's signer: what ends a right needs the signer's ledger."""
        self.sandbox.admin.post("signing", {"allowed": False, "only": "this-host"})
        try:
            assert self.client.finalize(self.order, self.csr).expect(200).json["status"] == "processing"
            during()
        finally:
            self.sandbox.admin.post("signing", {"allowed": True, "only": "this-host"})

    def poll(self, *expected):
        """Until it has one of these states; on the way it is in processing and in nothing else."""
        deadline, seen = time.monotonic() + SETTLED, []
        while time.monotonic() < deadline:
            reply = self.client.post(self.url)
            if reply.status == 200:
                seen.append(reply.json["status"])
                if seen[-1] in expected:
                    return reply.json
                assert seen[-1] == "processing", seen
            time.sleep(0.2)
        raise AssertionError(f"{seen[-1:]} after {SETTLED} s\n{self.sandbox.log_text()[-3000:]}")

    def certificates(self):
        return [each for each in self.sandbox.certificates(self.zone) if each["status"] == "valid"]

    def check_invalid(self, kind, text):
        problem = self.poll("invalid")["error"]
        assert problem["type"].endswith(f":{kind}") and text in problem["detail"], problem
        assert self.certificates() == []

    def redis(self, *command):
        return run(["redis-cli", "-s", self.sandbox["REDIS_SOCKET"], *command]).stdout.strip()


@pytest.fixture
def waiting(own_sandbox):
    own_sandbox.wait_ready()
    return Waiting(own_sandbox)


def test_order_is_finished_when_the_signer_is_back(waiting):
    waiting.finalize()
    done = waiting.poll("valid")
    chain = load_chain(waiting.client.post(done["certificate"]).expect(200).text)
    assert [int(each["serial"]) for each in waiting.certificates()] == [chain[0].serial_number]
    assert waiting.redis("HEXISTS", f"order:{waiting.id}", "csr_der") == "0"
    assert waiting.redis("ZSCORE", "orders-waiting", waiting.id) == ""
    # The client that lost its reply and asks again with its CSR finds the same.
    assert waiting.client.finalize(waiting.order, waiting.csr).expect(200).json["certificate"] == done["certificate"]


def test_finalize_while_the_order_waits_gets_it_as_it_is(waiting):
    def ask_again():
        assert waiting.client.finalize(waiting.order, waiting.csr).expect(200).json["status"] == "processing"
        other = make_csr(make_key("p256"), [waiting.name])
        assert waiting.client.finalize(waiting.order, other).expect(403).problem == "orderNotReady"

    waiting.finalize(ask_again)
    waiting.poll("valid")
    assert len(waiting.certificates()) == 1


def test_order_waits_while_name_servers_are_silent(own_sandbox, waiting):
    with silent_name_servers(own_sandbox):
        waiting.finalize()
        assert wait_until(lambda: "an order in processing waits on" in own_sandbox.log_text(), SETTLED)
        assert waiting.poll("processing")
    waiting.poll("valid")


def test_order_of_a_paused_zone_waits_until_it_is_resumed(own_sandbox, waiting):
    waiting.finalize_without_signing(lambda: own_sandbox.admin.post(f"zones/{waiting.zone}/pause"))
    assert wait_until(lambda: f"stopped for the zone {waiting.zone}" in own_sandbox.log_text(), SETTLED)
    waiting.poll("processing")
    own_sandbox.admin.post(f"zones/{waiting.zone}/resume")
    waiting.poll("valid")


def test_order_of_a_deleted_zone_ends_with_the_reason(own_sandbox, waiting):
    waiting.finalize_without_signing(lambda: own_sandbox.admin.delete(f"zones/{waiting.zone}"))
    problem = waiting.poll("invalid")["error"]
    assert problem["type"].endswith(":rejectedIdentifier") and "removed" in problem["detail"]


def test_order_of_a_zone_that_is_delegated_elsewhere_ends_with_the_reason(own_sandbox, waiting):
    waiting.finalize(lambda: own_sandbox.dns("undelegate", waiting.zone))
    waiting.check_invalid("unauthorized", waiting.zone)


def test_order_of_a_deactivated_account_ends_with_the_reason(own_sandbox, waiting):
    account = waiting.client.kid.rpartition("/")[2]
    waiting.finalize_without_signing(lambda: waiting.client.post(waiting.client.kid, {"status": "deactivated"}).expect(200))
    assert wait_until(lambda: own_sandbox.admin.get(f"orders/{waiting.id}")["status"] == "invalid", SETTLED)
    assert own_sandbox.admin.get(f"orders/{waiting.id}")["account"] == account
    assert waiting.certificates() == []


def test_order_past_its_end_ends_with_the_reason(waiting):
    waiting.finalize(lambda: waiting.redis("HSET", f"order:{waiting.id}", "expires", int(time.time()) + 1))
    waiting.check_invalid("serverInternal", "make a new order")


def test_order_of_a_host_that_never_comes_back_ends_with_its_life(own_sandbox, waiting):
    def hand_over():
        attempt = waiting.redis("HGET", f"order:{waiting.id}", "attempt")
        past = int(time.time()) - 61
        waiting.redis("HSET", f"order:{waiting.id}", "attempt", "ffffffff" + attempt[8:], "expires", past)

    waiting.finalize(hand_over)
    waiting.check_invalid("serverInternal", "make a new order")


def test_create_of_the_rest_api_sent_again_gets_the_certificate_that_was_made_meanwhile(own_sandbox):
    own_sandbox.wait_ready()
    api, zone, csr = rest(own_sandbox), own_sandbox.new_zone(), make_rest_csr()
    signer = own_sandbox.signer()
    with stopped(signer):
        first = api.create([zone], csr)
        assert first.status == 503 and first.headers["Retry-After"]
        own_sandbox.kill(signer)
    answers = []

    def is_made():
        answers[:] = [api.create([zone], csr)]
        return answers[0].status == 200

    assert wait_until(is_made, SETTLED, pause=0.5), answers[0].body
    made = [each for each in own_sandbox.certificates(zone) if each["status"] != "void"]
    assert [each["serial"] for each in made] == [answers[0].result["id"]]


def test_orders_wait_over_a_restart_of_the_server(own_sandbox, waiting):
    with stopped(own_sandbox.signer()):
        assert waiting.client.finalize(waiting.order, waiting.csr).expect(200).json["status"] == "processing"
    waiting.client.close()
    own_sandbox.script("down", "--keep")
    own_sandbox.up()
    own_sandbox.wait_ready()
    waiting.poll("valid")
