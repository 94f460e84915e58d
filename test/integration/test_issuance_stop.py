"""The stops of issuance: of everybody, of an issuer, of a customer, of a zone. What is acknowledged at one host is refused at
every one, by words that say which stop it is, and nothing but issuance ends; over crashes, a restored Redis, and whatever a
worker that was taken over asks of the signer."""

import json
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from acme_raw import make_csr, make_key
from admin_api import AdminError
from signer_link import SIGN, STOPPED, SignerLink, sign_request
from test_client_certbot import Certbot
from test_client_lego import Lego
from test_going_back import OldCopy
from test_two_hosts import Customer, hosts, new_zone  # noqa: F401 (hosts is a fixture)
from under_test import stopped, wait_until
from verify import load_chain

RETRY_AFTER = 7
RECOVERY = 60
SANDBOX_OPTIONS = ("--workers", "1", "--set", f"acme.stop_retry_after_seconds={RETRY_AFTER}", "--set", "acme.recheck_after_seconds=0",
                   "--set", "acme.resume_longest_seconds=2", "--set", "acme.acme_rsa_issuer=rsa",
                   "--set", "server.retire_idle_seconds=0", "--set", "dns.dns_share_ms=0")


class Stop:
    """One of the four: how it is called, and what everybody who is refused reads."""

    def __init__(self, calls, words):
        self.calls, self.words = calls, words

    def path(self, customer, zone, verb):
        return self.calls[verb].format(customer=customer.name, zone=zone)

    def stop(self, host, customer, zone):
        return host.admin.post(self.path(customer, zone, "stop"))

    def allow(self, host, customer, zone):
        return host.admin.post(self.path(customer, zone, "allow"))


STOPS = {
    "global": Stop({"stop": "issuance/stop", "allow": "issuance/allow"}, "stopped for everybody"),
    "issuer": Stop({"stop": "issuers/ecc/stop", "allow": "issuers/ecc/allow"}, "stopped for the issuer ecc"),
    "customer": Stop({"stop": "customers/{customer}/suspend", "allow": "customers/{customer}/resume"},
                     "stopped for this customer"),
    "zone": Stop({"stop": "zones/{zone}/pause?customer={customer}", "allow": "zones/{zone}/resume?customer={customer}"},
                 "stopped for the zone {zone}"),
}


@pytest.fixture(autouse=True)
def nothing_is_stopped(hosts):  # noqa: F811
    def allow_all():
        for path in ("issuance/allow", "issuers/ecc/allow", "issuers/rsa/allow"):
            hosts[0].admin.post(path)
    yield
    hosts[0].sandbox.wait_ready(RECOVERY)
    allow_all()


@pytest.fixture
def owner(hosts):  # noqa: F811
    """A customer of both hosts with an active zone."""
    customer = Customer(hosts, 0)
    customer.zone = new_zone()
    customer.own(customer.zone, 0)
    customer.names = iter(f"n{number}.{customer.zone}" for number in range(100))
    return customer


def check_told(reply, words):
    """An ACME client is told which stop it is and when to come back, by a status that clients take for a passing one."""
    assert reply.status == 503 and reply.headers["Retry-After"] == str(RETRY_AFTER), reply.text
    assert reply.json["type"] == "urn:ietf:params:acme:error:serverInternal" and words in reply.json["detail"], reply.text


def check_rest_told(reply, words):
    error = reply.body if isinstance(reply.body, str) else reply.body.decode()
    assert reply.status == 503 and reply.headers["Retry-After"] == str(RETRY_AFTER), error
    shown = json.loads(error)
    assert shown["success"] is False and shown["result"] is None
    assert shown["errors"][0]["code"] == 1202 and words in shown["errors"][0]["message"], error


class Order:
    """A ready order of the owner, as each host shows it under its own addresses."""

    def __init__(self, hosts, owner, at=0):
        self.name, self.hosts, self.clients = next(owner.names), hosts, owner.clients
        reply = owner.order(at, self.name).expect(201)
        assert reply.json["status"] == "ready"
        self.path = urlsplit(reply.headers["Location"]).path

    def see(self, at):
        return self.clients[at].post(self.hosts[at].base_url + self.path).expect(200).json

    def status(self, at=0):
        return self.see(at)["status"]

    def finalize(self, at=0, kind="p256"):
        return self.clients[at].finalize(self.see(at), make_csr(make_key(kind), [self.name]))

    def comes_through(self, at=0):
        """Soon: a host's signer hears of the end of a stop within a second, and what it did not know yet waits."""
        assert wait_until(lambda: self.finalize(at).status == 200 or self.status(at) == "valid", 20)
        assert wait_until(lambda: self.status(at) == "valid", RECOVERY)


def checks_made(host):
    return host.admin.metrics().get("originca_dns_checks_total", 0)


@pytest.mark.parametrize("kind", STOPS)
def test_each_stop_is_told_at_every_host_and_ends_nothing_but_issuance(hosts, owner, kind):  # noqa: F811
    stop, words = STOPS[kind], STOPS[kind].words.format(zone=owner.zone)
    order, rest = Order(hosts, owner, at=1), [host.rest(owner.api_key["key"]) for host in hosts]
    had = rest[0].create([next(owner.names)]).result
    stop.stop(hosts[0], owner, owner.zone)
    before = checks_made(hosts[1])
    for at, client in enumerate(owner.clients):  # the answer to the call is the moment from which nothing is issued anywhere
        check_told(order.finalize(at), words)
        assert order.status(at) == "ready"
        if kind != "issuer":  # the key, which chooses the issuer, is not known yet
            check_told(client.new_order([next(owner.names)]), words)
    for each in rest:
        check_rest_told(each.create([next(owner.names)]), words)
    assert checks_made(hosts[1]) == before, "nothing is asked of DNS for what will be refused"
    if kind == "issuer":
        Order(hosts, owner).finalize(kind="rsa2048").expect(200)
    assert rest[1].get(had["id"]).result["certificate"] == had["certificate"]
    assert rest[1].revoke(had["id"]).status == 200
    stop.allow(hosts[1], owner, owner.zone)
    order.comes_through()
    assert wait_until(lambda: rest[1].create([next(owner.names)]).status == 200, 10)


def run_directory(host):
    return Path(host.admin.path).parent


def ask_signer(folder, name, zone):
    """As a worker that was taken over: (code, message)."""
    spki = make_key("p256").public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    with SignerLink(folder) as link:
        reply = link.ask(SIGN, sign_request(spki, [name], [zone["id"]], zone["customer"]))
    return reply.code, reply.message


@pytest.mark.parametrize("kind", STOPS)
def test_no_signer_signs_under_a_stop_for_a_worker_that_was_taken_over(hosts, owner, kind):  # noqa: F811
    zone = hosts[0].admin.get(f"zones/{owner.zone}?customer={owner.name}")
    folders = [run_directory(host) for host in hosts]
    for folder in folders:
        assert wait_until(lambda: ask_signer(folder, next(owner.names), zone)[0] == 0, 20)
    STOPS[kind].stop(hosts[1], owner, owner.zone)
    for folder in folders:
        refusal = []

        def is_refused():
            refusal[:] = ask_signer(folder, next(owner.names), zone)
            return refusal[0] == STOPPED

        assert wait_until(is_refused, 20, pause=0.1), refusal
        assert STOPS[kind].words.format(zone=owner.zone) in refusal[1]
    STOPS[kind].allow(hosts[0], owner, owner.zone)
    for folder in folders:
        assert wait_until(lambda: ask_signer(folder, next(owner.names), zone)[0] == 0, 20)


@pytest.mark.parametrize("process", ["worker", "signer", "admin", "redis"])
@pytest.mark.parametrize("kind", ["global", "issuer"])
def test_a_stop_outlives_the_death_of_each_process(hosts, owner, kind, process):  # noqa: F811
    box, stop = hosts[0].sandbox, STOPS[kind]
    order = Order(hosts, owner)
    stop.stop(hosts[0], owner, owner.zone)
    if process == "redis":
        box.kill_redis()
        box.start_redis()
    elif process == "admin":
        box.kill(box.admin_process())
    else:
        box.kill(box.signer() if process == "signer" else box.workers()[0])
    box.wait_ready(RECOVERY)
    owner.clients[0].close()  # its connection may have gone with the worker
    check_told(order.finalize(), stop.words)
    assert wait_until(lambda: "issuance" in json.loads(box.admin.fetch("GET", "/readyz")[2]), 20)
    zone = box.admin.get(f"zones/{owner.zone}?customer={owner.name}")
    assert ask_signer(run_directory(hosts[0]), order.name, zone)[0] == STOPPED
    stop.allow(hosts[0], owner, owner.zone)
    box.wait_ready(RECOVERY)
    order.comes_through()


@pytest.mark.parametrize("kind", ["global", "issuer"])
def test_a_restored_redis_forgets_neither_the_stop_nor_its_end(hosts, owner, tmp_path, kind):  # noqa: F811
    box, stop = hosts[0].sandbox, STOPS[kind]
    order = Order(hosts, owner)
    before = OldCopy(box, tmp_path)
    stop.stop(hosts[0], owner, owner.zone)
    before.put_back()
    box.wait_ready(RECOVERY)
    assert wait_until(lambda: hosts[1].admin.readiness()[0], RECOVERY)
    for at in (0, 1):
        check_told(order.finalize(at), stop.words)
    shutil.rmtree(before.copy)
    stopped_copy = OldCopy(box, tmp_path)
    stop.allow(hosts[0], owner, owner.zone)
    stopped_copy.put_back()
    box.wait_ready(RECOVERY)
    assert wait_until(lambda: hosts[1].admin.readiness()[0], RECOVERY)
    order.comes_through(at=1)


def test_an_order_in_processing_waits_for_the_end_of_the_stop(hosts, owner):  # noqa: F811
    box, order = hosts[0].sandbox, Order(hosts, owner)
    signer = box.signer()
    with stopped(signer):
        assert order.finalize().expect(200).json["status"] == "processing"
        box.kill(signer)
    hosts[1].admin.post("issuance/stop")
    box.wait_ready(RECOVERY)
    assert wait_until(lambda: "an order in processing waits on" in box.log_text() and "for everybody" in box.log_text(), 30)
    assert order.status() == "processing" and box.certificates(owner.zone) == []
    hosts[1].admin.post("issuance/allow")
    assert wait_until(lambda: order.status() == "valid", RECOVERY)


def test_issuance_is_stopped_without_redis_and_by_the_replay_afterwards(hosts, owner):  # noqa: F811
    box, order = hosts[0].sandbox, Order(hosts, owner)
    box.kill_redis()
    try:
        for path, body in (("signing", {"allowed": False}), ("issuance/stop", None), ("issuers/rsa/stop", None)):
            with pytest.raises(AdminError, match="recorded in the ledger and will take effect") as pending:
                box.admin.post(path, body)
            assert (pending.value.status, pending.value.code) == (503, "pending")
        said = box.admin_command("--json", "signing", "stop", check=False)
        assert said.returncode == 1 and said.stdout == "" and "NOT in force on other hosts" in said.stderr, said.stderr
    finally:
        box.start_redis()
    box.wait_ready(RECOVERY)
    assert wait_until(lambda: hosts[1].admin.readiness()[0], RECOVERY)
    check_told(order.finalize(at=1), "stopped for everybody")
    assert box.admin.post("signing", {"allowed": False}) == {"allowed": False}, "confirmed"
    assert box.admin.get("issuance")["stopped"]
    box.admin.post("issuers/rsa/allow")
    box.admin_command("signing", "allow")
    order.comes_through(at=1)


def test_the_end_of_a_stop_that_redis_does_not_take_is_pending(hosts, owner):  # noqa: F811
    box = hosts[0].sandbox
    box.admin.post("issuance/stop")
    box.kill_redis()
    try:
        with pytest.raises(AdminError, match="recorded in the ledger and will take effect") as pending:
            box.admin.post("issuance/allow")
        assert (pending.value.status, pending.value.code) == (503, "pending")
        said = box.admin_command("issuance", "allow", check=False)
        assert said.returncode == 1 and "NOT in force on other hosts" in said.stderr, said.stderr
    finally:
        box.start_redis()
    box.wait_ready(RECOVERY)
    assert box.admin.post("issuance/allow") == {"stopped": False}
    assert not box.admin.get("issuance")["stopped"]


def test_the_stop_of_one_host_leaves_the_other_one_issuing(hosts, owner):  # noqa: F811
    box, rest = hosts[0].sandbox, [host.rest(owner.api_key["key"]) for host in hosts]
    assert json.loads(box.admin_command("--json", "signing", "stop", "--this-host").stdout)["only"] == "this-host"
    assert "stopped by an operator" in json.loads(box.admin.fetch("GET", "/readyz")[2])["signer"]["reason"]
    assert rest[0].create([next(owner.names)]).status == 503
    assert rest[1].create([next(owner.names)]).status == 200
    shown = box.admin.get("issuance")
    assert shown["stopped"] is False and [each["of"] for each in shown["items"]] == ["this-host"], shown
    assert hosts[1].admin.get("issuance")["items"] == []
    assert "this-host" in box.admin_command("issuance", "show").stdout
    for words in (("issuance", "allow"), ("signing", "allow"), ("issuance", "allow", "--issuer", "ecc"),
                  ("issuance", "allow", "--customer", owner.name)):
        said = box.admin_command(*words)  # lifts what it names, and this host was taken out by another word
        assert "signing allow --this-host" in said.stderr, words
    assert box.admin.post("issuance/allow")["still_stopped"]["items"][0]["of"] == "this-host"
    assert rest[0].create([next(owner.names)]).status == 503
    box.admin.post("issuers/rsa/stop")
    assert "allow --issuer rsa" in box.admin_command("signing", "allow", "--this-host").stderr
    assert box.admin_command("issuance", "allow", "--issuer", "rsa").stderr == ""
    box.wait_ready(RECOVERY)
    assert rest[0].create([next(owner.names)]).status == 200


def test_operators_see_what_is_stopped_since_when_and_by_whom(hosts, owner):  # noqa: F811
    box = hosts[0].sandbox
    box.admin_command("issuance", "stop", "--issuer", "rsa")
    box.admin_command("issuance", "stop", "--customer", owner.name)
    box.admin_command("issuance", "stop", "--zone", owner.zone)
    box.admin_command("issuance", "stop")
    shown = hosts[1].admin.get("issuance")
    mine = [each for each in shown["items"] if each["of"] in ("global", "issuer") or owner.zone in each["name"] or
            each["name"] == owner.name]
    assert shown["stopped"] is True and sorted(each["of"] for each in mine) == ["customer", "global", "issuer", "zone"]
    assert all(each["since"].endswith("Z") and each["by"].startswith("admin:") for each in mine), mine
    status, _, text = box.admin.fetch("GET", "/readyz")
    ready = json.loads(text)
    assert status == 200 and ready["ready"] is True  # revoking, OCSP and CRLs go on: the host stays in service
    assert ready["issuance"]["ok"] is False and "for everybody" in ready["issuance"]["reason"] and "rsa" in ready["issuance"]["reason"]
    assert "for everybody" in json.loads(box.admin.fetch("GET", "/healthz")[2])["issuance"]["reason"]
    health = box.admin_command("health", check=False)
    assert health.returncode == 1 and "issuance is stopped for everybody" in health.stdout
    for host in hosts:
        assert wait_until(lambda: [host.admin.metrics().get(f'originca_issuance_stopped{{by="{each}"}}', 0) >= 1
                                   for each in STOPS] == [True] * 4, 10)
    table = box.admin_command("issuance", "show").stdout
    assert owner.name in table and owner.zone in table and "global" in table
    for options in ([], ["--issuer", "rsa"], ["--customer", owner.name], ["--zone", owner.zone]):
        box.admin_command("issuance", "allow", *options)
    after = hosts[0].admin.get("issuance")
    assert after["stopped"] is False and not [each for each in after["items"] if each["of"] in ("global", "issuer")]
    assert "issuance" not in json.loads(box.admin.fetch("GET", "/readyz")[2])
    records = [record["type"] for kind in ("issuance-stopped", "issuance-allowed", "issuer-stopped", "issuer-allowed")
               for record in box.ledger(kind)]
    assert set(records) == {"issuance-stopped", "issuance-allowed", "issuer-stopped", "issuer-allowed"}


def test_who_lets_a_zone_go_on_is_told_what_still_stops_it(hosts, owner):  # noqa: F811
    box = hosts[0].sandbox
    for kind in ("customer", "zone"):
        STOPS[kind].stop(hosts[0], owner, owner.zone)
    customer = box.admin.get(f"customers/{owner.name}")["id"]
    for words in (("issuance", "allow", "--zone", owner.zone), ("zone", "resume", owner.zone)):
        said = box.admin_command(*words).stderr
        assert f"still stopped for its customer {customer}: `originca admin issuance allow --customer {customer}`" in said, said
    box.admin_command("issuance", "stop", "--issuer", "rsa")
    assert "issuance allow --issuer rsa" in box.admin_command("customer", "resume", owner.name).stderr
    assert box.admin_command("issuance", "allow", "--issuer", "rsa").stderr == ""


def test_a_stop_that_cannot_be_is_refused(hosts):  # noqa: F811
    box = hosts[0].sandbox
    with pytest.raises(AdminError) as refused:
        hosts[0].admin.post("issuers/nobody/stop")
    assert refused.value.status == 404
    with pytest.raises(AdminError) as refused:
        hosts[0].admin.post("signing", {"allowed": False, "only": "that-host"})
    assert refused.value.status == 400
    assert box.admin_command("issuance", "stop", "--issuer", "ecc", "--zone", "a.test", check=False).returncode == 2
    assert hosts[0].admin.get("issuance")["stopped"] is False


def test_certbot_reads_that_issuance_is_stopped_and_finishes_afterwards(hosts, tmp_path):  # noqa: F811
    box = hosts[0].sandbox
    certbot, names = Certbot(box, tmp_path), [box.name()]
    certbot.register()
    hosts[1].admin.post("issuance/stop")
    refused = certbot("certonly", "--standalone", "-d", names[0], check=False)
    assert refused.returncode != 0 and "Issuance is stopped for everybody" in certbot.said(refused)
    hosts[1].admin.post("issuance/allow")
    pem, _ = certbot.obtain(names, "p256")
    assert load_chain(pem)


def test_lego_reads_that_issuance_is_stopped_and_finishes_afterwards(hosts, tmp_path):  # noqa: F811
    box = hosts[0].sandbox
    lego, names = Lego(box, tmp_path), [box.name()]
    hosts[1].admin.post("issuance/stop")
    refused = lego(names, "p256", "run", check=False)
    assert refused.returncode != 0 and "Issuance is stopped for everybody" in refused.stdout + refused.stderr
    hosts[1].admin.post("issuance/allow")
    assert load_chain(lego.obtain(names, "p256")[0])
