"""A Redis that goes back in time, by a restored copy, a fail-over or because it was emptied, brings nothing back that was
acknowledged as gone; and nobody serves it before every host has compared its ledger with it or an operator has excused
those that do not come."""

import contextlib
import json
import os
import shutil
import tempfile
import threading
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from acme_kit import change_key
from acme_raw import AccountKey, compact, make_csr, make_jws, make_key
from admin_api import AdminClient, AdminError
from processes import Processes
from rest_client import RestClient, make_csr as make_pem_csr, service_key
from signer_link import OK, REFUSED, SIGN, SignerLink, sign_request
from test_two_hosts import write_second_configuration
from under_test import SANITIZER_MARKS, children, name_of, run, silent_name_servers, stopped, wait_until
from verify import der_of, load_chain

SANDBOX_OPTIONS = ("--workers", "1", "--set", "server.retire_idle_seconds=0", "--set", "dns.dns_share_ms=0",
                   "--set", "dns.dns_referral_max_ttl=0", "--set", "dns.zone_moved_after=1")
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
        if is_ready and not wait_until(lambda: self.admin.readiness()[0], RECOVERY):
            said = self.processes.log_tail("server")
            self.processes.stop("server")  # else it breaks what comes after on the same socket of Redis
            raise AssertionError(said)

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
    if second.processes.pid("server") is not None:
        second.stop()
    shutil.rmtree(second.folder)


@pytest.fixture
def second(box, shared_second):
    """Runs before and after."""
    assert wait_until(lambda: shared_second.admin.readiness()[0], RECOVERY)
    yield shared_second
    if shared_second.processes.pid("server") is None:
        shared_second.start()
    assert wait_until(lambda: shared_second.admin.readiness()[0], RECOVERY)


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
    excused = [(record["excused_host"], record["detail"]) for record in box.ledger("host-excused")]
    assert excused == [("second", "for this run of Redis"), ("second", "for good")]
    second.start()
    # It serves when the others know it: an older copy of Redis would have forgotten it, and they wait for it then.
    assert box.admin.metrics()["originca_ledger_hosts"] == 2
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


# Rights


def rest_of(box, key, base_url=None):
    return RestClient(f"{base_url}/client/v4" if base_url else box["API_URL"], box["CA_BUNDLE"], service_key(key))


class Onboarded:
    """A customer with an account, a zone that is active, and keys to take away."""

    def __init__(self, box):
        self.box, customer = box, box.new_customer()
        self.id, self.zone, self.client = customer.id, customer.zone, customer.client
        self.api_key = self.post("api-keys", {"kind": "service-key"})
        self.eab = self.post("eab-keys")

    def post(self, what, body=None):
        return self.box.admin.post(f"customers/{self.id}/{what}", body)

    def order(self, client=None):
        return (client or self.client).new_order([self.box.name(self.zone)])

    def rest(self):
        return rest_of(self.box, self.api_key["key"]).create([self.box.name(self.zone)])

    def bind(self):
        return self.box.client(is_registered=False).register(self.eab["kid"], self.eab["hmac"])


def end_api_key(c):
    c.box.admin.delete(f"customers/{c.id}/api-keys/{c.api_key['id']}")
    return lambda: c.rest().expect_error(400, 10000)


def end_eab_key(c):
    c.box.admin.delete(f"customers/{c.id}/eab-keys/{c.eab['kid']}")

    def check():
        reply = c.bind()
        assert reply.status == 403, reply.text

    return check


def deactivate_account(c):
    c.client.post(c.client.kid, {"status": "deactivated"}).expect(200)
    return lambda: is_deactivated(c)


def is_deactivated(c):
    c.client.close()
    reply = c.order()
    assert reply.status == 401 and "deactivated" in reply.text, reply.text


def end_account(c):
    """By an operator."""
    assert c.box.admin.post(f"acme-accounts/{c.client.kid.rpartition('/')[2]}/deactivate")["status"] == "deactivated"
    return lambda: is_deactivated(c)


def bind_another(c):
    c.client = c.box.client(is_registered=False)
    c.client.register(c.eab["kid"], c.eab["hmac"]).expect(201)


def end_bound_accounts(c):
    """The account was bound when the copy was made."""
    path = f"customers/{c.id}/eab-keys/{c.eab['kid']}?accounts=deactivate"
    assert c.box.admin.delete(path)["accounts_deactivated"] == 1
    return lambda: is_deactivated(c)


def change_account_key(c):
    former, fresh = c.client.key, AccountKey()
    change_key(c.client, fresh).expect(200)

    def check():
        c.client.close()
        c.client.key = former
        reply = c.order()
        assert reply.status in (400, 401, 403), reply.text
        c.client.key = fresh
        c.order().expect(201)

    return check


def pause_zone(c):
    c.box.admin.post(f"zones/{c.zone}/pause")

    def check():
        assert c.box.admin.get(f"zones/{c.zone}")["status"] == "paused"
        reply = c.order()
        assert reply.status == 503 and f"stopped for the zone {c.zone}" in reply.text, reply.text

    return check


def resume_zone(c):
    """It was paused when the copy was made."""
    c.box.admin.post(f"zones/{c.zone}/resume")

    def check():
        assert c.box.admin.get(f"zones/{c.zone}")["status"] == "active"
        c.order().expect(201)

    return check


def delete_zone(c):
    c.box.admin.delete(f"zones/{c.zone}")

    def check():
        assert c.order().status == 403
        assert c.zone not in [zone["name"] for zone in c.box.listing("zones")]

    return check


def move_zone(c):
    c.box.dns("undelegate", c.zone)
    c.box.check_zone(c.zone, "moved")
    return lambda: c.box.check_zone(c.zone, "moved")


def suspend_customer(c):
    assert c.post("suspend")["suspended_at"]

    def check():
        reply = c.order()
        assert reply.status == 503 and "stopped for this customer" in reply.text, reply.text
        assert "stopped for this customer" in c.rest().body.decode()

    return check


def resume_customer(c):
    """It was suspended when the copy was made."""
    assert "suspended_at" not in c.post("resume")
    return lambda: c.order().expect(201)


CHANGES = [end_api_key, end_eab_key, deactivate_account, end_account, end_bound_accounts, change_account_key, pause_zone,
           resume_zone, delete_zone, move_zone, suspend_customer, resume_customer]
BEFORE = {resume_zone: lambda c: c.box.admin.post(f"zones/{c.zone}/pause"), resume_customer: lambda c: c.post("suspend"),
          end_bound_accounts: bind_another}
RECORDS = ["api-key-ended", "eab-key-ended", "account-deactivated", "account-key-changed", "zone-paused", "zone-resumed",
           "zone-ended", "zone-moved", "customer-suspended", "customer-resumed"]
ENDING = {end_api_key: "api-key-ended", pause_zone: "zone-paused", delete_zone: "zone-ended",
          suspend_customer: "customer-suspended"}


def test_what_ended_stays_ended_and_what_was_given_back_stays_given_in_a_redis_of_before(box, copy_now):
    customers = {change: Onboarded(box) for change in CHANGES}
    for change, prepare in BEFORE.items():
        prepare(customers[change])
    copy = copy_now()
    checks = {change: change(customers[change]) for change in CHANGES}
    for check in checks.values():
        check()
    for kind in RECORDS:
        assert box.ledger(kind), kind
    copy.put_back()
    box.wait_ready(RECOVERY)
    for customer in customers.values():
        customer.client.close()
    for check in checks.values():
        check()
    box.server_tool("ledger", "verify")
    # and a second time, with nothing new to replay
    copy.put_back()
    box.wait_ready(RECOVERY)
    for customer in customers.values():
        customer.client.close()
    for check in checks.values():
        check()


def test_a_right_that_ended_at_another_host_stays_ended(box, second, copy_now):
    key = box.admin.post(f"customers/{box['CUSTOMER']}/api-keys", {"kind": "service-key"})
    assert rest_of(box, key["key"]).create([box.name()]).status == 200
    copy = copy_now()
    second.admin.delete(f"customers/{box['CUSTOMER']}/api-keys/{key['id']}")
    rest_of(box, key["key"]).create([box.name()]).expect_error(400, 10000)
    second.stop()
    copy.put_back()
    wait_refused(box.admin, "the ledger of second")
    assert rest_of(box, key["key"]).create([box.name()]).status == 503
    second.start()
    box.wait_ready(RECOVERY)
    rest_of(box, key["key"]).create([box.name()]).expect_error(400, 10000)


@pytest.mark.parametrize("take, give", [(suspend_customer, resume_customer), (pause_zone, resume_zone)])
def test_what_is_given_back_while_redis_lacks_that_it_was_taken_is_not_so_already(box, copy_now, take, give):
    """Only a record says that it is the newer word; without one the replay would take it again."""
    customer = Onboarded(box)
    copy = copy_now()
    take(customer)
    with stopped(box.signer()):  # nobody can compare that Redis meanwhile
        copy.put_back()
        assert wait_until(lambda: box.admin.fetch("GET", f"/admin/v1/customers/{customer.id}")[0] == 200, RECOVERY)
        with pytest.raises(AdminError) as refused:
            give(customer)
        assert refused.value.status == 503
    box.wait_ready(RECOVERY)
    check = give(customer)
    customer.client.close()
    check()


def test_a_certificate_that_a_redis_of_before_forgot_is_not_unknown_to_operators(box, copy_now):
    copy = copy_now()
    _, chain, _ = box.client().issue([box.name()])
    path = f"certificates/{load_chain(chain)[0].serial_number}/revoke"
    with stopped(box.signer()):  # nobody can compare that Redis meanwhile
        copy.put_back()
        assert wait_until(lambda: box.admin.fetch("GET", "/admin/v1/customers")[0] == 200, RECOVERY)
        with pytest.raises(AdminError) as refused:
            box.admin.post(path, {"reason": "superseded"})
        assert refused.value.status == 503 and "may lack it" in str(refused.value)
    box.wait_ready(RECOVERY)
    assert box.admin.post(path, {"reason": "superseded"})["status"] == "revoked"


def test_a_create_that_a_redis_of_before_forgot_is_told_to_come_again(box, copy_now):
    customer, csr, replies = Onboarded(box), make_pem_csr(), []
    rest, name = rest_of(box, customer.api_key["key"]), box.name(customer.zone)
    copy = copy_now()
    with stopped(box.signer()):
        sender = threading.Thread(target=lambda: replies.append(rest.create([name], csr)))
        sender.start()
        assert wait_until(lambda: box.listing(f"orders?status=processing&zone={customer.zone}"), 20)
        copy.put_back()
    sender.join(60)
    assert replies[0].status == 503, replies[0].body
    box.wait_ready(RECOVERY)
    assert wait_until(lambda: rest.create([name], csr).status == 200, RECOVERY)


@pytest.mark.parametrize("change", ENDING)
def test_a_change_that_redis_did_not_take_is_carried_out_by_the_replay(box, change):
    """As a crash between ledger and Redis leaves it; who asks again gets the same result."""
    customer = Onboarded(box)
    redis(box, "CONFIG", "SET", "min-replicas-to-write", "1")
    try:
        with pytest.raises(AdminError) as refused:
            change(customer)
        assert refused.value.status == 503
    finally:
        redis(box, "CONFIG", "SET", "min-replicas-to-write", "0")
    last = len(box.ledger(ENDING[change]))
    sequence = box.admin.get("stats")["signer"]["last_sequence"]
    assert wait_until(lambda: int(redis(box, "HGET", "ledger:sandbox", "applied")) >= sequence, RECOVERY)
    box.wait_ready(RECOVERY)
    customer.client.close()
    if change is not delete_zone:  # there is no such zone any more
        change(customer)()
    else:
        assert customer.order().status == 403
    assert len(box.ledger(ENDING[change])) == last  # asking again writes nothing


def test_a_suspended_customer_gets_nothing_and_keeps_what_he_has(box):
    customer, other = Onboarded(box), Onboarded(box)
    name = box.name(customer.zone)
    _, chain, _ = customer.client.issue([name])
    ready = customer.order().expect(201).json
    serial = customer.rest().result["id"]
    box.admin_command("customer", "suspend", customer.id)
    csr = make_csr(make_key("p256"), [ready["identifiers"][0]["value"]])
    reply = customer.client.finalize(ready, csr)
    assert reply.status == 503 and "stopped for this customer" in reply.text, reply.text
    suspend_customer(customer)()
    rest = rest_of(box, customer.api_key["key"])
    assert rest.call("GET", f"/certificates/{serial}").status == 200
    assert rest.call("DELETE", f"/certificates/{serial}").status == 200
    customer.client.revoke(der_of(load_chain(chain)[0]), 4).expect(200)
    other.client.issue([box.name(other.zone)])
    box.admin_command("customer", "resume", customer.id)
    assert customer.client.finalize(ready, csr).expect(200).json["status"] == "valid"
    assert customer.rest().status == 200


# What hosts tell each other


def ledger_of(second, kind):
    program = [second.program, "-c", second.folder / "originca.conf", "ledger", "show", "--type", kind, "--json"]
    return [json.loads(line) for line in run(program, second.token).stdout.splitlines()]


def test_the_signers_of_all_hosts_know_the_zones_of_each(box, second):
    assert box.ledger("zones-known") and ledger_of(second, "zones-known")
    assert box["ZONE_ID"] in [record["zone"] for record in ledger_of(second, "zone-added")]  # taken over when it joined
    customer = Onboarded(box)
    zone = box.admin.get(f"zones/{customer.zone}")["id"]

    def told(kind, subject):
        return [record for record in ledger_of(second, kind) if subject in (record.get("zone"), record.get("customer"))]

    assert wait_until(lambda: told("zone-added", zone), RECOVERY)
    pause_zone(customer)
    assert wait_until(lambda: told("zone-paused", zone), RECOVERY)
    resume_zone(customer)
    assert wait_until(lambda: told("zone-resumed", zone), RECOVERY)
    suspend_customer(customer)
    assert wait_until(lambda: told("customer-suspended", customer.id), RECOVERY)
    resume_customer(customer)
    delete_zone(customer)
    [ended] = wait_until(lambda: told("zone-ended", zone), RECOVERY)
    [own] = [record for record in box.ledger("zone-ended") if record["zone"] == zone]
    assert ended["at_ms"] == own["at_ms"] and ended["by"] == "other-host"
    assert wait_until(lambda: redis(box, "XLEN", "ledger-rights") in ("0", "1"), RECOVERY)  # what all know is told no longer


@pytest.mark.parametrize("end", [deactivate_account, end_account])
def test_the_signers_of_all_hosts_know_which_accounts_ended(box, second, end):
    """Ended at the one by its owner or an operator, refused by the signer of the other to whoever took over a worker."""
    customer = Onboarded(box)
    account = customer.client.kid.rsplit("/", 1)[1]
    zone = box.admin.get(f"zones/{customer.zone}")["id"]
    spki = make_key("p256").public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def sign():
        with SignerLink(second.folder, False) as worker:
            return worker.ask(SIGN, sign_request(spki, [customer.zone], [zone], customer.id, account=account))

    assert wait_until(lambda: zone in [record["zone"] for record in ledger_of(second, "zone-added")], RECOVERY)
    assert sign().code == OK
    end(customer)
    [told] = wait_until(lambda: [record for record in ledger_of(second, "account-deactivated")
                                 if record["account"] == account], RECOVERY)
    assert told["by"] == "other-host"
    refused = sign()
    assert refused.code == REFUSED and "was deactivated" in refused.message, refused.message


def moments_of(box, second, kind, zone):
    """Any host may make the check that is due, and records it. One whose worker did not answer in time is made again a
    minute later."""
    return [record["at_ms"] for record in box.ledger(kind) + ledger_of(second, kind) if record["zone"] == zone]


def test_a_zone_that_an_order_brought_back_stays_in_a_redis_of_before(box, second, copy_now):
    """Its owner mends his delegation and orders: the ledger says that it came back as soon as the zone's own check is done."""
    customer = Onboarded(box)
    zone = box.admin.get(f"zones/{customer.zone}")["id"]
    copy = copy_now()
    move_zone(customer)
    time.sleep(1.1)  # checks of one second do not tell which came first
    box.dns("delegate", customer.zone)
    assert customer.order().status == 201
    assert wait_until(lambda: moments_of(box, second, "zone-returned", zone), 2 * RECOVERY)
    assert wait_until(lambda: redis(box, "HGET", f"zone:{zone}", "unrecorded") == "", RECOVERY)
    copy.put_back()
    box.wait_ready(RECOVERY)
    moved, returned = [min(moments_of(box, second, kind, zone)) for kind in ("zone-moved", "zone-returned")]
    assert int(redis(box, "HGET", f"zone:{zone}", "delegated_at")) >= returned > moved


def admin_processes(host):
    return [pid for pid in children(host.processes.pid("server")) if name_of(pid).startswith("oca-admin")]


def test_a_check_that_tells_nothing_leaves_it_to_the_next_to_record_that_a_zone_came_back(box, second):
    customer = Onboarded(box)
    zone = box.admin.get(f"zones/{customer.zone}")["id"]

    def known(field):
        return redis(box, "HGET", f"zone:{zone}", field)

    move_zone(customer)
    box.dns("delegate", customer.zone)
    with contextlib.ExitStack() as silence:
        with stopped(*admin_processes(second), box.admin_process()):
            assert wait_until(lambda: customer.order().status == 201 and known("status") == "active", RECOVERY)
            shown = known("reason")
            silence.enter_context(silent_name_servers(box))
        assert wait_until(lambda: known("reason") != shown, RECOVERY)
        assert (known("status"), known("unrecorded")) == ("active", "1")
    assert wait_until(lambda: moments_of(box, second, "zone-returned", zone), 2 * RECOVERY)
    assert wait_until(lambda: known("unrecorded") == "", RECOVERY)


def test_what_redis_says_of_zones_without_a_seal_is_passed_over(box, second):
    forged = "f" * 32
    before = second.admin.metrics()["originca_rights_unsealed_total"]
    redis(box, "XADD", "ledger-rights", "*", "kind", "zone-added", "subject", forged, "name", "forged.test", "customer",
          box["CUSTOMER"], "at", "1", "seal", "0" * 64)
    assert wait_until(lambda: second.admin.metrics()["originca_rights_unsealed_total"] > before, RECOVERY)
    assert forged not in [record["zone"] for record in ledger_of(second, "zone-added")]


def test_a_sealed_word_that_is_told_again_changes_nothing(box, second):
    """Whoever writes Redis has the seals of what was said before: an older word loses, and one that was cut has no seal."""
    customer = Onboarded(box)
    zone = box.admin.get(f"zones/{customer.zone}")["id"]
    assert wait_until(lambda: zone in [record["zone"] for record in ledger_of(second, "zone-added")], RECOVERY)
    second.stop()
    pause_zone(customer)
    told = json.loads(run(["redis-cli", "--json", "-s", box["REDIS_SOCKET"], "XREVRANGE", "ledger-rights", "+", "-", "COUNT", "1"]).stdout)
    [[_, words]] = told
    assert words[1] == "zone-paused" and words[3] == zone
    resume_zone(customer)
    second.start()
    assert wait_until(lambda: zone in [record["zone"] for record in ledger_of(second, "zone-resumed")], RECOVERY)
    written = ledger_of(second, "zone-paused")
    before = second.admin.metrics()["originca_rights_unsealed_total"]
    for entry in (words, words[:-2], [*words[:-1], words[-1][:-1]], [word.replace("zone-paused", "zone-ended") for word in words]):
        redis(box, "XADD", "ledger-rights", "*", *entry)
    assert wait_until(lambda: second.admin.metrics()["originca_rights_unsealed_total"] >= before + 3, RECOVERY)
    assert ledger_of(second, "zone-paused") == written
    assert zone not in [record["zone"] for record in ledger_of(second, "zone-ended")]
