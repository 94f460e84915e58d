"""Two servers on one Redis, each with a ledger, sockets and ports of its own: what is decided at one holds at the other."""

import contextlib
import os
import secrets
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from acme_raw import AcmeClient, make_csr, make_key
from admin_api import AdminClient
from box import Sandbox
from processes import Processes
from rest_client import RestClient, service_key
from server_config import issuers_for, render, sections_for
from under_test import SANITIZER_MARKS, children, free_port_base, name_of, run, wait_until

ORDERS = 4
SANDBOX_OPTIONS = ("--limits", "production", "--workers", "1", "--set", f"limits.orders_per_customer={ORDERS}",
                   "--set", "limits.orders_window_seconds=86400", "--set", "limits.accounts_per_address=0",
                   "--set", "limits.failed_check_pause_seconds=60", "--set", "acme.recheck_after_seconds=600",
                   "--set", "signer.evidence_max_age_seconds=600", "--set", "dns.dns_referral_max_ttl=0",
                   "--set", "dns.dns_share_ms=0")


class Host:
    """One of the two servers."""

    def __init__(self, sandbox, base_url, admin, processes=None):
        self.sandbox, self.base_url, self.admin = sandbox, base_url, admin
        self.processes = processes or sandbox.processes

    def parts(self, part):
        """Pids of its processes of that kind: "worker", "signer", "admin"."""
        return [pid for pid in children(self.processes.pid("server")) if name_of(pid).startswith(f"oca-{part}")]

    def client(self, eab, key=None):
        client = AcmeClient(f"{self.base_url}/acme/directory", self.sandbox["CA_BUNDLE"], key)
        client.register(eab["kid"], eab["hmac"]).expect(200, 201)
        return client

    def rest(self, key):
        return RestClient(f"{self.base_url}/client/v4", self.sandbox["CA_BUNDLE"], service_key(key))


def write_second_configuration(sandbox, folder, redis_socket=None):
    """Same Redis (by that socket), secret and issuing keys as the sandbox's own server; the rest is another's."""
    box, port = Sandbox(sandbox.directory), free_port_base(2)
    sections = sections_for(box)
    sections["server"] |= {"base_url": f"https://localhost:{port}", "https_listen": box.listen_addresses(port),
                           "http_listen": box.listen_addresses(port + 1), "admin_listen": f"unix:{folder}/admin.sock",
                           "run_directory": folder}
    sections["redis"] |= {"redis_socket": redis_socket or box.redis_socket}
    sections["signer"] |= {"ledger_directory": folder / "ledger", "host_name": "second"}
    (folder / "originca.conf").write_text(render(sections, issuers_for(box)))
    return f"https://localhost:{port}"


@contextlib.contextmanager
def with_second(own_sandbox, redis_socket=None, change=None):
    """`change` is given the text of its configuration, and gives another."""
    folder = Path(tempfile.mkdtemp(prefix="originca-"))
    base_url = write_second_configuration(own_sandbox, folder, redis_socket)
    if change is not None:
        (folder / "originca.conf").write_text(change((folder / "originca.conf").read_text()))
    program = Path(os.environ["ORIGINCA_BUILD"]) / "server" / "originca-server"
    token = {"SOFTHSM2_CONF": own_sandbox["SOFTHSM2_CONF"]}
    run([program, "-c", folder / "originca.conf", "ca", "init"], token)
    processes, admin = Processes(folder, folder), AdminClient(folder / "admin.sock")
    processes.start("server", [program, "-c", folder / "originca.conf"], token)
    try:
        assert wait_until(lambda: admin.readiness()[0], 30), processes.log_tail("server")
        yield (Host(own_sandbox, own_sandbox["DIRECTORY_URL"].removesuffix("/acme/directory"), own_sandbox.admin),
               Host(own_sandbox, base_url, admin, processes))
    finally:
        was_killed = processes.stop("server")
        log = processes.log("server").read_text()
        shutil.rmtree(folder)
    assert not was_killed and not any(mark in log for mark in SANITIZER_MARKS), log[-6000:]


@pytest.fixture(scope="module")
def hosts(own_sandbox):
    with with_second(own_sandbox) as both:
        yield both


class Customer:
    """Onboarded at one host, with accounts at both: one key, one account."""

    def __init__(self, hosts, at):
        self.hosts, self.name = hosts, f"c{secrets.token_hex(4)}"
        self.admin = hosts[at].admin
        self.admin.post("customers", {"name": self.name})
        eab = self.admin.post(f"customers/{self.name}/eab-keys")
        self.api_key = self.admin.post(f"customers/{self.name}/api-keys", {"kind": "service-key"})
        first = hosts[0].client(eab)
        self.clients = (first, hosts[1].client(eab, first.key))
        assert self.clients[0].kid.rpartition("/")[2] == self.clients[1].kid.rpartition("/")[2]

    def add(self, zone, at):
        return self.hosts[at].admin.post("zones", {"name": zone, "customer": self.name})["name_servers"]

    def own(self, zone, at):
        """The zone is delegated to this customer's name servers, and active by a check at that host."""
        return self.own_again(zone, at, self.add(zone, at))

    def own_again(self, zone, at, servers=None):
        """One that this customer has added before."""
        servers = servers or self.hosts[at].admin.get(f"zones/{zone}?customer={self.name}")["name_servers"]
        self.hosts[at].sandbox.dns("delegate", zone, ",".join(servers))
        assert wait_until(lambda: self.hosts[at].admin.post(f"zones/{zone}/check?customer={self.name}")["status"] ==
                          "active", 20, pause=0.2)
        return servers

    def order(self, at, name):
        return self.clients[at].new_order([name])


def new_zone():
    return f"h{secrets.token_hex(4)}.test"


def test_certificates_of_both_are_known_to_both(hosts):
    owner, zone = Customer(hosts, 0), new_zone()
    owner.own(zone, 1)
    serials = {hosts[at].rest(owner.api_key["key"]).create([f"at{at}.{zone}"]).result["id"] for at in (0, 1)}
    for host in hosts:
        shown = host.admin.get(f"certificates?zone={zone}&limit=10")["items"]
        assert len(serials) == len(shown) == 2


def test_a_limit_used_up_at_one_is_used_up_at_the_other(hosts):
    owner, zone = Customer(hosts, 0), new_zone()
    owner.own(zone, 0)
    for count in range(ORDERS):
        owner.order(count % 2, f"a{count}.{zone}").expect(201)
    for at in (1, 0):
        reply = owner.order(at, f"b{at}.{zone}")
        assert reply.status == 429 and "orders of one customer" in reply.json["detail"], reply.text
        answer = hosts[at].rest(owner.api_key["key"]).create([f"b{at}.{zone}"])
        assert answer.status == 429, answer.body


def test_a_name_whose_check_failed_at_one_waits_at_the_other(hosts):
    owner, zone = Customer(hosts, 1), new_zone()
    owner.own(zone, 1)
    hosts[0].sandbox.dns("gray", f"gray.{zone}")
    assert owner.order(0, f"gray.{zone}").problem == "unauthorized"
    reply = owner.order(1, f"gray.{zone}")
    assert reply.status == 429 and f"gray.{zone}" in reply.json["detail"], reply.text


def test_a_right_that_ended_at_one_is_ended_at_the_other(hosts):
    former, owner, zone = Customer(hosts, 0), Customer(hosts, 1), new_zone()
    former.own(zone, 0)
    ready = former.order(0, f"www.{zone}").expect(201).json
    assert ready["status"] == "ready"
    owner.own(zone, 1)
    csr = make_csr(make_key("p256"), [f"www.{zone}"])
    reply = former.clients[0].finalize(ready, csr)
    assert reply.status == 403 and reply.problem == "unauthorized", reply.text
    for at in (0, 1):
        assert former.order(at, f"again{at}.{zone}").status == 403
    assert hosts[0].sandbox.certificates(f"{zone}&customer={former.name}") == []
    assert owner.order(0, f"www.{zone}").expect(201).json["status"] == "ready"


def test_what_is_in_processing_at_one_ends_when_the_zone_becomes_anothers_at_the_other(hosts):
    """An order and a create, both claimed while the first host's signer was stopped."""
    former, owner, zone = Customer(hosts, 0), Customer(hosts, 1), new_zone()
    former.own(zone, 0)
    order = former.order(0, f"www.{zone}").expect(201)
    hosts[0].admin.post("signing", {"allowed": False, "only": "this-host"})
    try:
        reply = former.clients[0].finalize(order.json, make_csr(make_key("p256"), [f"www.{zone}"])).expect(200)
        assert reply.json["status"] == "processing"
        assert hosts[0].rest(former.api_key["key"]).create([f"rest.{zone}"]).status == 503
        waiting = hosts[0].sandbox.listing(f"orders?status=processing&customer={former.name}")
        assert len(waiting) == 2, waiting
        owner.own(zone, 1)
    finally:
        hosts[0].admin.post("signing", {"allowed": True, "only": "this-host"})
    for each in waiting:
        for host in hosts:
            assert wait_until(lambda: host.admin.get(f"orders/{each['id']}")["status"] == "invalid", 60, pause=0.3)
    url = order.headers["Location"].replace(hosts[0].base_url, hosts[1].base_url)
    assert former.clients[1].post(url).json["status"] == "invalid"
    assert hosts[1].sandbox.certificates(f"{zone}&customer={former.name}") == []
    assert owner.order(0, f"www.{zone}").expect(201).json["status"] == "ready"


def test_a_key_or_an_account_ended_at_one_is_ended_at_the_other(hosts):
    owner, zone = Customer(hosts, 0), new_zone()
    owner.own(zone, 0)
    ready = owner.order(0, f"www.{zone}").expect(201).json
    assert hosts[0].rest(owner.api_key["key"]).create([f"rest.{zone}"]).status == 200
    hosts[1].admin.delete(f"customers/{owner.name}/api-keys/{owner.api_key['id']}")
    hosts[0].rest(owner.api_key["key"]).create([f"rest2.{zone}"]).expect_error(400, 10000)
    owner.clients[1].post(owner.clients[1].kid, {"status": "deactivated"}).expect(200)
    reply = owner.clients[0].finalize(ready, make_csr(make_key("p256"), [f"www.{zone}"]))
    assert reply.status in (401, 403), reply.text


def test_the_accounts_of_a_stolen_binding_key_end_at_both(hosts):
    owner, zone = Customer(hosts, 0), new_zone()
    owner.own(zone, 0)
    stolen = hosts[0].admin.post(f"customers/{owner.name}/eab-keys")
    thieves = [host.client(stolen) for host in hosts]
    ready = [thief.new_order([f"t{at}.{zone}"]).expect(201).json for at, thief in enumerate(thieves)]
    done = hosts[1].admin.delete(f"customers/{owner.name}/eab-keys/{stolen['kid']}?accounts=deactivate")
    assert done["accounts_deactivated"] == 2
    for at, thief in enumerate(thieves):
        assert thief.finalize(ready[at], make_csr(make_key("p256"), [f"t{at}.{zone}"])).status == 401
        assert thief.new_order([f"again{at}.{zone}"]).status == 401
        assert hosts[at].admin.get(f"acme-accounts/{thief.kid.rpartition('/')[2]}")["status"] == "deactivated"
    owner.order(0, f"www.{zone}").expect(201)


def test_name_servers_assigned_or_held_at_one_are_nobody_elses_at_the_other(hosts):
    zone, owner = new_zone(), Customer(hosts, 0)
    left_behind = owner.own(zone, 0)
    hosts[0].admin.delete(f"zones/{zone}?customer={owner.name}")  # the delegation stays
    others = [Customer(hosts, at % 2) for at in range(6)]
    with ThreadPoolExecutor(len(others)) as pool:
        assigned = list(pool.map(lambda at: others[at].add(zone, at % 2), range(len(others))))
    pairs = {frozenset(servers) for servers in assigned}
    assert len(pairs) == len(others) and frozenset(left_behind) not in pairs
    for at, other in enumerate(others):
        assert other.order(1 - at % 2, f"www.{zone}").status == 403
