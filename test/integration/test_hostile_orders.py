"""The hostile scenarios through real orders: a server whose DNS is the farm, and ACME (for some REST too) to the
certificate or to the refusal. The scenarios are those of test_hostile_dns.py and test_hostile_attacks.py.

Nothing of one scenario may help another: the server keeps no referral and shares no answer, and checks no zone by itself."""

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
from cryptography import x509

from acme_raw import make_csr, make_key
from dns_farm import EDGE, TYPE, Farm, World
from rest_client import leaf_of, rest
from test_hostile_dns import DEADLINE_MS, OURS, PER_NAME, SCENARIOS, TIMEOUT_MS
from under_test import SandboxUnderTest, wait_until

BUDGET = 100  # each walk begins at the root
SETTINGS = {"dns.dns_deadline_ms": DEADLINE_MS, "dns.dns_query_timeout_ms": TIMEOUT_MS, "dns.dns_max_queries": BUDGET,
            "dns.dns_referral_max_ttl": 0, "dns.dns_share_ms": 0, "dns.zone_pending_interval_seconds": 86400,
            "dns.zone_sweep_interval_seconds": 604800, "acme.caa_identities": "ca.provider.test"}
EVERY_TENTH = 10  # of the scenarios goes through REST as well
PROBLEMS = {"refused": (403, "unauthorized"), "failed": (400, "dns")}


def is_for_an_order(options):
    """A text that a test chooses is no ACME token (test_no_eab.py), and a server has one trust anchor."""
    return "txt" not in options and not isinstance(options.get("anchor"), str)


def group_of(options):
    """The settings of the server that a scenario needs: (is DNSSEC validated, caa_mode)."""
    return bool(options.get("anchor")), options.get("caa") or "named"


def cases(scenarios):
    found = [(group_of(each.values[4]), each) for each in scenarios if is_for_an_order(each.values[4])]
    found.sort(key=lambda each: each[0])
    return [pytest.param(group, at % EVERY_TENTH == 0, *each.values, id=each.id)
            for at, (group, each) in enumerate(found)]


class Place:
    """A server that looks at the farm, with an account of the customer who attacks."""

    def __init__(self, sandbox, farm, directory):
        self.sandbox, self.farm, self.directory = sandbox, farm, directory
        self.group, self.key = None, make_key("p256")
        self.clients = {1: sandbox.client(), 2: sandbox.client(2)}
        self.zones = {}  # (customer, name): (id, its name servers)

    def use(self, group):
        """Reloads the server with other settings."""
        if group == self.group:
            return
        self.group = group
        is_signed, caa_mode = group
        path = Path(self.sandbox["CONFIG"])
        text = re.sub(r"\n    (caa_mode|trust_anchor_file) = .*", "", path.read_text())
        lines = f'    caa_mode = "{caa_mode}"\n'
        if is_signed:
            (self.directory / "anchor").write_text(World(is_signed=True).anchor())
            lines += f'    trust_anchor_file = "{self.directory / "anchor"}"\n'
        path.write_text(text.replace("dns {\n", "dns {\n" + lines))
        before = self.sandbox.log_text().count("reload complete")
        os.kill(self.sandbox.supervisor, signal.SIGHUP)
        assert wait_until(lambda: self.sandbox.log_text().count("reload complete") > before, 30)
        self.close()  # the connections are to a worker of the former settings

    def close(self):
        for client in self.clients.values():
            client.close()

    def redis(self, *words):
        return subprocess.run(["redis-cli", "-s", self.sandbox["REDIS_SOCKET"], *words], check=True, timeout=20,
                              capture_output=True, text=True).stdout.strip()

    def add_zone(self, name, servers, customer=1):
        """The customer's zone with those name servers: which ones are assigned is not what is tested here."""
        holder = self.sandbox["CUSTOMER" if customer == 1 else "CUSTOMER_2"]
        if (customer, name) not in self.zones:
            known = {each["name"]: each["id"] for each in self.sandbox.listing(f"zones?customer={holder}")}
            made = known.get(name) or self.sandbox.admin.post("zones", {"name": name, "customer": holder})["id"]
            self.zones[customer, name] = made, None
        identity, current = self.zones[customer, name]
        if current != servers:
            self.redis("HSET", f"zone:{identity}", "servers", servers.replace(",", " "))
            self.zones[customer, name] = identity, servers
        return identity

    def own_zone_above(self, name):
        """The first customer's active zone, below which the second one adds his."""
        self.add_zone(name, OURS)
        self.farm.world = World()
        assert self.sandbox.admin.post(f"zones/{name}/check")["status"] == "active"

    def newest_certificate(self, zone):
        items = self.sandbox.admin.get(f"certificates?zone={zone}&limit=1")["items"]
        return items[0]["serial"] if items else None

    def reason_of_refusal(self, zone):
        """The reason word that admins are shown; `zone` is its id, for others may have that name too."""
        newest = self.sandbox.admin.get(f"orders?zone={zone}&status=refused&limit=1")["items"][0]["id"]
        evidence = self.sandbox.admin.get(f"orders/{newest}")["evidence"]
        findings = evidence["zones"] + evidence["names"]
        verdicts = {each["verdict"] for each in findings}
        worst = next(each for each in ("refused", "failed", "ok") if each in verdicts)
        return next(each["reason"] for each in findings if each["verdict"] == worst)


@pytest.fixture(scope="module")
def farm():
    farm = Farm()
    yield farm
    farm.close()


@pytest.fixture(scope="module")
def whole_place(farm, tmp_path_factory):
    directory = tmp_path_factory.mktemp("hostile")
    (directory / "hints").write_text(". 3600 NS a.root.\na.root. 3600 A 127.66.0.1\n")
    farm.world = World()
    options = ["--workers", "1", "--root-hints", directory / "hints", "--dns-port", farm.port]
    for at in range(1, 7):
        options += ["--name-server", f"ns{at}.provider.test"]
    for prefix in EDGE:
        options += ["--edge-prefix", prefix]
    for key, value in SETTINGS.items():
        options += ["--set", f"{key}={value}"]
    sandbox = SandboxUnderTest(directory / "box", *options)
    try:
        place = Place(sandbox.up(), farm, directory)
        yield place
        farm.world = World()
    except BaseException:
        sandbox.script("down", check=False)
        raise
    place.close()
    sandbox.down()


@pytest.fixture(scope="module")
def place(whole_place, request):
    whole_place.use(request.param)
    return whole_place


def bind_to_account(world, wanted, account):
    """The scenario's account in its CAA records is the one that orders."""
    for zone in {id(zone): zone for server in world.servers.values() for zone in server.zones}.values():
        for (owner, kind), rrset in list(zone.sets.items()):
            if kind == TYPE("CAA") and wanted in rrset.to_text():
                zone.remove(owner.to_text(), "CAA")
                for each in rrset:
                    zone.add(f"{owner.to_text()} CAA {each.to_text().replace(wanted, account)}")


def names_of(leaf):
    return leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)


def order(client, names, key):
    """(problem or None, text): a whole issuance where nothing refuses it."""
    reply = client.new_order(names)
    if reply.status != 201:
        return (reply.status, reply.problem), reply.text
    made = client.finalize(reply.json, make_csr(key, names)).expect(200).json
    chain = client.post(made["certificate"]).expect(200)
    assert set(names_of(x509.load_pem_x509_certificate(chain.body))) == set(names)
    return None, chain.text


@pytest.mark.parametrize("place, takes_rest, bend, verdict, reason, arguments, options", cases(SCENARIOS), indirect=["place"])
def test_order(place, takes_rest, bend, verdict, reason, arguments, options):
    names, zone = list(options.get("names", ("www.shop.test",))), options.get("zone", "shop.test")
    customer = 2 if "foreign_parent" in options else 1
    if customer == 2:
        place.own_zone_above(options["foreign_parent"])
    identity = place.add_zone(zone, options.get("servers", OURS), customer)
    former = place.newest_certificate(identity)
    world = World(**arguments)
    bend(world)
    client = place.clients[customer]
    if "account" in options:
        bind_to_account(world, options["account"], client.kid)
    place.farm.world = world
    problem, text = order(client, names, place.key)
    assert problem == PROBLEMS.get(verdict), text
    assert world.queries <= BUDGET + PER_NAME * len(names) + 5
    if verdict != "ok":
        why = place.reason_of_refusal(identity)
        assert reason == "*" or why == reason, f"{why}: {text}"
        assert options.get("says", "") in text
        assert place.newest_certificate(identity) == former
    if takes_rest:
        answer = rest(place.sandbox, customer).create(names)
        if verdict == "ok":
            assert set(names_of(leaf_of(answer.result))) == set(names)
        else:
            assert answer.status == 400 and place.newest_certificate(identity) == former, answer.body
