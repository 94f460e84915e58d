"""A revocation that the ledger has and Redis does not is no success: until Redis has it, another host goes on telling the certificate
as good. Whoever asked is told to come again, through every entrance; who does hears of the first revocation; and once a success was
told, no host says good any more, and the next list has it.

Host A reaches Redis through a gate, host B directly."""

import json
import os
import secrets
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from crl_kit import load, number_of, path_of, plain_url
from ocsp_kit import Responder, cert_id, issuer_of, request
from redis_gate import RedisGate
from test_outward_texts import INSIDE, redis
from test_two_hosts import Customer, new_zone, with_second
from under_test import run, stopped, wait_until
from verify import der_of, load_chain

SANDBOX_OPTIONS = ("--workers", "1", "--set", "redis.redis_command_timeout_ms=1500", "--set", "revocation.crl_delay_ms=1000",
                   "--set", "limits.ocsp_signed_per_address=0", "--set", "dns.dns_referral_max_ttl=0", "--set", "dns.dns_share_ms=0")
RECOVERY = 60
SUPERSEDED = 4


@pytest.fixture(scope="module")
def world(own_sandbox):
    with tempfile.TemporaryDirectory(prefix="originca-gate-") as folder:
        gate = RedisGate(f"{folder}/redis.sock", own_sandbox["REDIS_SOCKET"])
        with with_second(own_sandbox, f"{folder}/redis.sock") as (b, a):
            owner, zone = Customer((b, a), 0), new_zone()
            owner.own(zone, 0)
            yield SimpleNamespace(box=own_sandbox, a=a, b=b, gate=gate, owner=owner, zone=zone, rest=a.rest(owner.api_key["key"]),
                                  acme=owner.clients[1])
        gate.close()


@pytest.fixture
def leaf(world):
    """A certificate that B has said `good` of: the answer is kept."""
    made = Leaf(world)
    assert made.ocsp() == "good"
    yield made
    world.gate.open()
    assert wait_until(lambda: world.a.admin.readiness()[0] and world.b.admin.readiness()[0], RECOVERY)


def records_of_type(host, kind):
    """Of the second host's ledger."""
    program = Path(os.environ["ORIGINCA_BUILD"]) / "server" / "originca-server"
    shown = run([program, "-c", host.admin.path.parent / "originca.conf", "ledger", "show", "--type", kind, "--json"])
    return list(map(json.loads, shown.stdout.splitlines()))


def records(world, leaf):
    return [record for record in records_of_type(world.a, "revoked") if record["serial"] == leaf.serial]


class Leaf:
    def __init__(self, world):
        world.owner.clients[0].close()
        _, chain, _ = world.owner.clients[0].issue([f"l{secrets.token_hex(4)}.{world.zone}"])
        self.world, self.certificate = world, load_chain(chain)[0]
        self.id = str(self.certificate.serial_number)
        self.serial = f"{self.certificate.serial_number:032x}"
        self.asked = request(cert_id(issuer_of(world.box), self.certificate.serial_number))

    def ocsp(self):
        """What B says."""
        responder = Responder(f"{plain_url(self.world.b.base_url)}/ocsp")
        try:
            return responder.get(self.asked).status
        finally:
            responder.close()

    def in_redis(self):
        return redis(self.world.box, "HGET", f"certificate:{self.serial}", "status")

    def being_recorded(self):
        """What A's processes send to Redis when the ledger has it."""
        return f"\r\n{self.serial}\r\n$10\r\n".encode()

    def wait_listed_next(self, before):
        """B's next list has it."""
        base, path = plain_url(self.world.b.base_url), path_of(self.certificate)
        assert wait_until(lambda: number_of(load(base, path)) > before, RECOVERY)
        assert load(base, path).get_revoked_certificate_by_serial_number(self.certificate.serial_number)

    def list_number(self):
        return number_of(load(plain_url(self.world.b.base_url), path_of(self.certificate)))


def by_acme(world, leaf):
    world.acme.close()  # idle since the last test
    reply = world.acme.revoke(der_of(leaf.certificate), SUPERSEDED)
    return reply.status, reply.headers, reply.body.decode() if isinstance(reply.body, bytes) else reply.body


def by_rest(world, leaf):
    reply = world.rest.revoke(leaf.id, {"reason": "superseded"})
    return reply.status, reply.headers, reply.body.decode() if isinstance(reply.body, bytes) else reply.body


def by_admin(world, leaf):
    status, headers, body = world.a.admin.fetch("POST", f"/admin/v1/certificates/{leaf.id}/revoke", {"reason": "superseded"})
    return status, headers, body.decode()


ENTRANCES = [by_acme, by_rest, by_admin]


def check_pending(entrance, answer):
    status, headers, text = answer
    assert status == 503 and int(headers["Retry-After"]) > 0, text
    assert "will take effect" in text and "again" in text, text
    assert entrance is by_admin or not INSIDE.search(text), text


@pytest.mark.parametrize("entrance", ENTRANCES)
def test_a_host_that_is_cut_off_from_redis_promises_nothing(world, leaf, entrance):
    world.gate.before(leaf.being_recorded(), world.gate.shut)
    check_pending(entrance, entrance(world, leaf))
    assert world.gate.is_shut and (leaf.ocsp(), leaf.in_redis()) == ("good", "valid")
    world.gate.open()
    assert wait_until(lambda: leaf.ocsp() == "revoked", RECOVERY)  # the fence brought it
    written = records(world, leaf)
    assert len(written) == 1 and written[0]["reason"] == SUPERSEDED
    assert wait_until(lambda: world.a.admin.readiness()[0], RECOVERY)
    status, _, text = entrance(world, leaf)
    assert status == 200, text
    shown = world.b.admin.get(f"certificates/{leaf.id}")
    assert shown["revoked_at"][:19] == written[0]["revoked_at"][:19] and shown["reason"] == "superseded"
    if entrance is by_rest:
        result = json.loads(text)["result"]
        assert result["revoked_at"] == shown["revoked_at"] and result["reason"] == "superseded"
    if entrance is not by_admin:  # who was told a success is told from now on that it is one
        status, _, text = entrance(world, leaf)
        assert status == 400 and ("revoked already" in text or "already revoked" in text), text


def never_good_again(leaf):
    assert leaf.ocsp() in ("revoked", "tryLater")


@pytest.mark.parametrize("entrance", ENTRANCES)
def test_redis_without_memory_takes_a_revocation(world, leaf, entrance):
    before = leaf.list_number()
    world.gate.before(leaf.being_recorded(), lambda: redis(world.box, "CONFIG", "SET", "maxmemory", "1"))
    try:
        status, _, text = entrance(world, leaf)
        assert status == 200 and leaf.in_redis() == "revoked", text
        never_good_again(leaf)
    finally:
        redis(world.box, "CONFIG", "SET", "maxmemory", "0")
    never_good_again(leaf)
    assert wait_until(lambda: leaf.ocsp() == "revoked", RECOVERY)
    leaf.wait_listed_next(before)


REFUSALS = {"READONLY": (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")),
            "NOREPLICAS": (("CONFIG", "SET", "min-replicas-to-write", "1"), ("CONFIG", "SET", "min-replicas-to-write", "0"))}


@pytest.mark.parametrize("refusal", REFUSALS)
@pytest.mark.parametrize("entrance", ENTRANCES)
def test_redis_that_takes_no_change_gets_no_promise_made(world, leaf, entrance, refusal):
    begin, end = REFUSALS[refusal]
    world.gate.before(leaf.being_recorded(), lambda: redis(world.box, *begin))
    try:
        check_pending(entrance, entrance(world, leaf))
        assert leaf.in_redis() == "valid"
    finally:
        redis(world.box, *end)
    answers = []

    def succeeds():
        answers.append(entrance(world, leaf))
        return answers[-1][0] == 200

    assert wait_until(succeeds, RECOVERY), answers
    never_good_again(leaf)
    assert wait_until(lambda: leaf.ocsp() == "revoked", RECOVERY)


class Job:
    """Of several certificates, worked on by A alone."""

    def __init__(self, world, leaves):
        wish = {"selection": {"serials": [each.id for each in leaves]}, "reason": "superseded", "confirm": len(leaves)}
        self.world, self.leaves = world, leaves
        self.id = world.a.admin.post("revocations", wish)["id"]

    def field(self, name):
        return redis(self.world.box, "HGET", f"bulk:{self.id}", name)

    def revoked(self):
        return sum(each.in_redis() == "revoked" for each in self.leaves)

    def wait_end(self):
        assert wait_until(lambda: self.field("state") == "done", RECOVERY), self.field("problem")


def test_a_job_counts_what_redis_has_and_tries_the_rest_again(world):
    with stopped(*world.b.parts("admin")):
        leaves = [Leaf(world) for _ in range(6)]
        world.gate.before(leaves[2].being_recorded(), world.gate.shut)
        job = Job(world, leaves)
        assert wait_until(lambda: world.gate.is_shut, RECOVERY)
        assert wait_until(lambda: not world.a.admin.readiness()[0], RECOVERY)
        assert int(job.field("done") or 0) <= job.revoked() < 6
        world.gate.open()
        job.wait_end()
        assert (job.field("done"), job.field("failed"), job.revoked()) == ("6", "0", 6)
        assert {each.ocsp() for each in leaves} == {"revoked"}


def test_a_job_tells_of_a_certificate_that_redis_cannot_revoke(world):
    with stopped(*world.b.parts("admin")):
        leaves = [Leaf(world) for _ in range(3)]
        key = f"certificate:{leaves[1].serial}"
        world.gate.before(leaves[1].being_recorded(), lambda: redis(world.box, "RENAME", key, "hidden"))
        job = Job(world, leaves)
        job.wait_end()
        redis(world.box, "RENAME", "hidden", key)
        assert (job.field("done"), job.field("failed")) == ("2", "1") and leaves[1].serial in job.field("problem")
