"""A zone that goes to another customer in the middle of what its former holder asked for. Host A does that, and is held before it
tells Redis, at each of its moments; meanwhile the zone changes hands at host B. Then A goes on. (A claim stands for longer than that
takes, else the reconciler would end the attempt before the zone has gone.)"""

import os
import re
import secrets
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from acme_raw import certificate_id, make_csr, make_key
from redis_gate import RedisGate
from test_outward_texts import redis
from test_two_hosts import Customer, new_zone, with_second
from test_unconfirmed_revocation import records_of_type
from under_test import stopped, wait_until
from verify import der_of, load_chain

SANDBOX_OPTIONS = ("--workers", "1", "--set", "redis.redis_command_timeout_ms=30000", "--set", "acme.recheck_after_seconds=600",
                   "--set", "signer.evidence_max_age_seconds=600", "--set", "dns.dns_referral_max_ttl=0", "--set",
                   "dns.dns_share_ms=0", "--set", "signer.signer_timeout_ms=20000", "--set", "signer.claim_timeout_seconds=20",
                   "--set", "acme.resume_first_seconds=1", "--set", "acme.resume_longest_seconds=2")
SETTLED = 90


def sha1_of(script):
    """As Redis is asked for it."""
    source = (Path(os.environ["ORIGINCA_BUILD"]) / "store" / "scripts.c").read_text()
    return re.search(rf'{{"{script}", "([0-9a-f]{{40}})"', source)[1].encode()


@pytest.fixture(scope="module")
def world(own_sandbox):
    with tempfile.TemporaryDirectory(prefix="originca-gate-") as folder:
        gate = RedisGate(f"{folder}/redis.sock", own_sandbox["REDIS_SOCKET"])
        with with_second(own_sandbox, f"{folder}/redis.sock") as (b, a):
            yield SimpleNamespace(box=own_sandbox, a=a, b=b, gate=gate)
        gate.close()


B, A = 0, 1  # of the customers' accounts


class Handover:
    """l is the former holder's; go() makes it the new one's, at host B."""

    def __init__(self, world, is_deleted):
        self.world, self.is_deleted, self.has_gone = world, is_deleted, False
        self.former, self.owner = (Customer((world.b, world.a), 0) for _ in range(2))
        self.zone = new_zone()
        self.former.own(self.zone, 0)
        self.name = f"n{secrets.token_hex(4)}.{self.zone}"
        self.rest = world.a.rest(self.former.api_key["key"])
        self.client = self.former.clients[A]

    def go(self):
        if self.is_deleted:
            self.world.b.admin.delete(f"zones/{self.zone}?customer={self.former.name}")
        self.owner.own(self.zone, 0)
        assert self.is_deleted or wait_until(self.is_settled, 30, pause=0.3)
        self.has_gone = True

    def is_settled(self):
        """A check of the former holder's zone that was under way may have seen the delegation of before."""
        statuses = [self.world.b.admin.post(f"zones/{self.zone}/check?customer={each.name}")["status"]
                    for each in (self.former, self.owner)]
        return statuses == ["moved", "active"]

    def go_before(self, script):
        self.world.gate.before(sha1_of(script), self.go)

    def check_nothing_is_left(self, may_be_signed):
        """Of what A signed for the former holder each is revoked in A's ledger after its record, no edge was told that it was
        issued, and none is valid; the new one is issued for at both hosts."""
        assert self.has_gone, "A was never held"
        found = self.world.b.admin.get(f"certificates?customer={self.former.name}&limit=50")["items"]
        assert "valid" not in {each["status"] for each in found if each["names"] == [self.name]}, found
        issued = [each for each in records_of_type(self.world.a, "issued") if each["names"] == [self.name]]
        assert bool(issued) == may_be_signed, issued
        for each in issued:
            revoked = [late for late in records_of_type(self.world.a, "revoked") if late["serial"] == each["serial"]]
            assert revoked and revoked[0]["seq"] > each["seq"], (each, revoked)
            told = redis(self.world.box, "XRANGE", "edge-events", "-", "+").replace("\n", " ")
            assert f"event issued serial {each['serial']}" not in told and f"event revoked serial {each['serial']}" in told
        for client in self.owner.clients:
            client.issue([self.name])


@pytest.fixture(params=[True, False], ids=["deleted", "taken"])
def handover(world, request):
    return Handover(world, request.param)


@pytest.mark.parametrize("moment", ["claim_order", "commit_certificate"])
def test_finalize(handover, moment):
    order = handover.client.new_order([handover.name]).expect(201)
    handover.go_before(moment)
    reply = handover.client.finalize(order.json, make_csr(make_key("p256"), [handover.name]))
    assert reply.problem in ("unauthorized", "orderNotReady"), reply.text
    handover.check_nothing_is_left(may_be_signed=moment == "commit_certificate")
    again = handover.client.finalize(order.json, make_csr(make_key("p256"), [handover.name]))
    assert again.problem in ("unauthorized", "orderNotReady"), again.text


@pytest.mark.parametrize("moment", ["create_order", "claim_order", "commit_certificate"])
def test_create_by_rest(handover, moment):
    handover.go_before(moment)
    reply = handover.rest.create([handover.name])
    assert reply.status in (400, 503), reply.body
    assert handover.rest.create([handover.name]).status == 400
    handover.check_nothing_is_left(may_be_signed=moment == "commit_certificate")


@pytest.mark.parametrize("does_replace", [False, True])
def test_new_order(handover, does_replace):
    replaced = load_chain(handover.client.issue([handover.name, f"old.{handover.zone}"])[1])[0]
    handover.go_before("create_order")
    reply = handover.client.new_order([handover.name], **({"replaces": certificate_id(replaced)} if does_replace else {}))
    assert reply.problem == "unauthorized", reply.text
    handover.check_nothing_is_left(may_be_signed=False)
    kept = redis(handover.world.box, "HGET", f"certificate:{replaced.serial_number:032x}", "replacing")
    assert kept == "", "the order that was refused replaces"


def test_an_order_whose_signer_was_stopped(handover):
    """The signer of A finds the request first, and only then hears of the end."""
    order = handover.client.new_order([handover.name]).expect(201)
    url, identity = order.headers["Location"], order.headers["Location"].rpartition("/")[2]
    (signer,) = handover.world.a.parts("signer")
    with ThreadPoolExecutor(1) as pool:
        with stopped(signer):
            reply = pool.submit(handover.client.finalize, order.json, make_csr(make_key("p256"), [handover.name]))
            assert wait_until(lambda: handover.world.b.admin.get(f"orders/{identity}")["status"] == "processing", 20, pause=0.1)
            handover.go()
        reply.result(60)  # refused or still in processing: whatever it says, the order ends without a certificate
    assert wait_until(lambda: handover.client.post(url).json["status"] == "invalid", SETTLED, pause=0.3)
    issued = [each for each in records_of_type(handover.world.a, "issued") if each["names"] == [handover.name]]
    handover.check_nothing_is_left(may_be_signed=bool(issued))


def test_revocation_by_authorization(world):
    """The zone was the new one's before, and is his again when A looks whose it is: his certificate stays."""
    handover = Handover(world, is_deleted=False)
    former, owner = handover.former, handover.owner
    name = f"www.{handover.zone}"
    handover.go()
    leaf = load_chain(owner.clients[B].issue([name])[1])[0]
    former.own_again(handover.zone, 0)
    handover.client.new_order([name]).expect(201)  # it holds the name from now on
    handover.world.gate.before(sha1_of("holds_names"), lambda: owner.own_again(handover.zone, 0))
    reply = handover.client.revoke(der_of(leaf))
    assert reply.problem == "unauthorized", reply.text
    assert world.b.admin.get(f"certificates/{leaf.serial_number}")["status"] == "valid"
    former.own_again(handover.zone, 0)
    handover.client.new_order([name]).expect(201)
    handover.client.revoke(der_of(leaf)).expect(200)
