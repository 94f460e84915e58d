"""The hostile scenarios through real orders: a server whose DNS is the farm, and ACME (for some REST too) to the
certificate or to the refusal. The scenarios are those of test_hostile_dns.py, test_hostile_attacks.py and
test_unusual_dns.py.

Nothing of one scenario may help another: the server keeps no referral, shares no answer and checks no zone by itself."""

import collections
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from cryptography import x509

from acme_raw import make_csr, make_key
from dns_farm import ASKED, EDGE, TYPE, Farm, World, Zone
from rest_client import leaf_of, rest
from test_hostile_attacks import ATTACKS, VICTIM, add_trap, add_victim, plant
from test_hostile_dns import (DEADLINE_MS, OURS, POOL, SCENARIOS, TIMEOUT_MS, add_deep, add_foreign_vanity_parent, add_sixth,
                              budget_of, edit)
from test_unusual_dns import UNUSUAL, of_length
from under_test import SandboxUnderTest, wait_until

BUDGET = 100  # each walk begins at the root
SETTINGS = {"dns.dns_deadline_ms": DEADLINE_MS, "dns.dns_max_queries": BUDGET,
            "dns.dns_referral_max_ttl": 0, "dns.dns_share_ms": 0, "dns.zone_pending_interval_seconds": 86400,
            "dns.zone_sweep_interval_seconds": 604800, "acme.caa_identities": "ca.provider.test", "server.retire_idle_seconds": 0}
TTL = 2  # seconds that a referral is remembered, where one is
EVERY_TENTH = 10  # of the scenarios goes through REST as well
PROBLEMS = {"refused": (403, "unauthorized"), "failed": (400, "dns")}


def is_for_an_order(reason, options):
    """A text that a test chooses is no ACME token (test_no_eab.py), a server has one trust anchor and one pool, and takes
    no zone of a name of its own."""
    return ("txt" not in options and reason != "reserved" and not isinstance(options.get("anchor"), str) and
            set(options.get("pool", POOL).split(",")) <= set(POOL.split(",")))


def group_of(options):
    """The settings of the server that a scenario needs: (is DNSSEC validated, caa_mode, dns_query_timeout_ms)."""
    return bool(options.get("anchor")), options.get("caa") or "named", options.get("timeout_ms", TIMEOUT_MS)


def cases(scenarios):
    found = [(group_of(each.values[4]), each) for each in scenarios if is_for_an_order(each.values[2], each.values[4])]
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
        is_signed, caa_mode, timeout_ms = group
        (self.directory / "anchor").write_text(World(is_signed=True).anchor())
        self.farm.world = World(is_signed=is_signed)  # a reload whose anchor is not the root's is refused
        self.reload(caa_mode=f'"{caa_mode}"', dns_query_timeout_ms=timeout_ms,
                    trust_anchor_file=f'"{self.directory / "anchor"}"' if is_signed else None)

    def reload(self, **settings):
        """With other settings in section dns; None: not set."""
        path = Path(self.sandbox["CONFIG"])
        text = re.sub(rf"\n    ({'|'.join(settings)}) = .*", "", path.read_text())
        lines = "".join(f"    {name} = {value}\n" for name, value in settings.items() if value is not None)
        path.write_text(text.replace("dns {\n", "dns {\n" + lines))
        self.close()  # the connections are to a worker of the former settings, which ends before we go on
        former = set(self.sandbox.workers())
        os.kill(self.sandbox.supervisor, signal.SIGHUP)
        assert wait_until(lambda: not former & set(self.sandbox.workers() or former), 30), self.sandbox.log_text()[-3000:]

    def start(self, world):
        """With a cache that remembers this world alone."""
        self.reload(dns_referral_max_ttl=TTL)
        self.farm.world = world
        for identity, _ in self.zones.values():
            self.outlive_check(identity)

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
            self.farm.world = World(is_signed=self.group[0])  # in which nobody has it yet
            self.farm.world.tld.remove(f"{name}.")
            self.redis("DEL", f"name-sets:{name}", f"zones-left:{name}", f"zone-held:{name}")  # nobody has used up the pool
            made = known.get(name) or self.sandbox.admin.post("zones", {"name": name, "customer": holder})["id"]
            self.zones[customer, name] = made, None
        identity, current = self.zones[customer, name]
        if current != servers:
            self.redis("HSET", f"zone:{identity}", "servers", servers.replace(",", " "))
            self.redis("HDEL", f"zone:{identity}", "blind")  # and nobody has left these behind
            self.redis("DEL", f"name-sets:{name}", f"zone-held:{name}")
            self.zones[customer, name] = identity, servers
        return identity

    def leave_above(self, zone, customer, own):
        """Of the zones above the customer has just these ("name=servers"), and nobody else has his."""
        for each in own:
            self.add_zone(*each.split("="), customer)
        kept = {each.partition("=")[0] for each in own}
        for holder, name in list(self.zones):
            is_above = holder == customer and zone.endswith(f".{name}") and name not in kept
            if is_above or (holder != customer and name == zone):
                identity, _ = self.zones.pop((holder, name))
                self.sandbox.admin.delete(f"zones/{identity}")
                self.redis("DEL", f"zones-left:{name}", f"zone-held:{name}")

    def outlive_check(self, zone):
        """A sweep's look at the former world counts against an order of the same second."""
        assert wait_until(lambda: int(self.redis("HGET", f"zone:{zone}", "checked") or 0) < int(time.time()), 5, pause=0.05)

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
    for each in POOL.split(","):
        options += ["--name-server", each]
    for prefix in EDGE:
        options += ["--edge-prefix", prefix]
    for key, value in SETTINGS.items():
        options += ["--set", f"{key}={value}"]
    sandbox = SandboxUnderTest(directory / "box", *options)
    try:
        place = Place(sandbox.up(), farm, directory)
        place.reload(allow_addresses="{" + ", ".join(f'"{each}"' for each in ASKED) + "}")
        yield place
        farm.world = World()
        was_added = (1, VICTIM["zone"]) in place.zones
        assert not was_added or sandbox.certificates(VICTIM["zone"]) == [], "a certificate for a victim's zone"
    except BaseException:
        sandbox.script("down", check=False)
        raise
    place.close()
    sandbox.down()


@pytest.fixture(scope="module")
def place(whole_place, request):
    whole_place.use(request.param)
    return whole_place


@pytest.fixture
def remembering(whole_place):
    whole_place.use((False, "off", TIMEOUT_MS))
    yield whole_place
    whole_place.reload(dns_referral_max_ttl=0)


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


@pytest.mark.parametrize("place, takes_rest, bend, verdict, reason, arguments, options", cases(SCENARIOS + ATTACKS + UNUSUAL),
                         indirect=["place"])
def test_order(place, takes_rest, bend, verdict, reason, arguments, options):
    names, zone = list(options.get("names", ("www.shop.test",))), options.get("zone", "shop.test")
    customer = 1 if zone.count(".") == 1 or "own" in options else 2
    place.leave_above(zone, customer, options.get("own", ()))
    if customer == 2:  # the zone above is the other customer's, on the name servers that it is delegated to
        place.add_zone("shop.test", OURS)
    identity = place.add_zone(zone, options.get("servers", OURS), customer)
    former = place.newest_certificate(identity)
    world = World(**arguments)
    bend(world)
    client = place.clients[customer]
    if "account" in options:
        bind_to_account(world, options["account"], client.kid)
    place.farm.world = world
    place.outlive_check(identity)
    problem, text = order(client, names, place.key)
    assert problem == PROBLEMS.get(verdict), text
    of_pool = 5 * len(POOL.split(",")) + 5  # a job of its own: each name from the root, and its addresses
    assert world.queries <= budget_of(options, BUDGET) + of_pool and world.misled == []
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


# Settings of the server, and what one check leaves to the next


def test_addresses_that_the_provider_denies_are_not_asked(whole_place):
    whole_place.use((False, "named", TIMEOUT_MS))
    whole_place.add_zone("shop.test", OURS)
    whole_place.farm.world = world = World()
    client = whole_place.clients[1]
    try:
        whole_place.reload(deny_addresses='"127.66.0.12/32"')
        problem, text = order(client, ["www.shop.test"], whole_place.key)
        assert problem == (400, "dns") and "127.66.0.12, the address of ns2.provider.test" in text, text
        assert world.ns2.asked == []
    finally:
        whole_place.reload(deny_addresses=None)
    assert order(client, ["www.shop.test"], whole_place.key)[0] is None


def test_what_is_planted_in_one_check_is_not_believed_in_the_next(remembering):
    """The server of an alias's target says who serves the victim's zone, the top-level domain and the root."""
    world = World()
    add_trap(world)
    add_victim(world)
    world.shop.add("alias.shop.test. CNAME host.foreign.test.")
    world.foreign.add("host.foreign.test. A 203.0.113.3")
    world.hook(edit(lambda answer, query: plant(answer)), 11, 12, 21)
    victims = remembering.add_zone("victim.test", OURS)
    remembering.add_zone("shop.test", OURS)
    remembering.start(world)
    for _ in range(3):
        assert order(remembering.clients[1], ["alias.shop.test"], remembering.key)[0] is None
        assert order(remembering.clients[1], ["www.victim.test"], remembering.key)[0] == (403, "unauthorized")
    assert world.misled == [] and remembering.newest_certificate(victims) is None


@pytest.mark.parametrize("length", [237, 251])
def test_a_wildcard_that_dns_cannot_be_asked_for_is_refused_before_it_is(whole_place, length):
    whole_place.use((False, "named", TIMEOUT_MS))
    whole_place.add_zone("shop.test", OURS)
    whole_place.farm.world = world = World()
    name = "*." + of_length(length)
    problem, text = order(whole_place.clients[1], [name, "www.shop.test"], whole_place.key)
    assert problem == (400, "rejectedIdentifier") and f"has {length} characters; at most 236" in text, text
    answer = rest(whole_place.sandbox, 1).create([name])
    assert answer.status == 400 and b"at most 236" in answer.body, answer.body
    assert world.queries == 0


def test_the_longest_name_of_a_name_server_is_not_taken_for_one_that_is_a_byte_shorter(remembering):
    """Both zones are on the way to an alias's target; neither has glue, and what is found of the servers is kept."""
    longest = ".".join(("a" * 63, "b" * 63, "c" * 63, "d" * 56, "nets"))
    shorter = longest[:-1]
    assert len(longest) == 253
    world = World()
    world.tld.add(f"one.test. NS {longest}.").add(f"two.test. NS {shorter}.")
    world.root.add(f"{longest}. A 127.66.0.25").add(f"{shorter}. A 127.66.0.26")
    world.server(25, Zone("one.test.", f"one.test. NS {longest}.\nwww.one.test. A 203.0.113.10"))
    world.server(26, Zone("two.test.", f"two.test. NS {shorter}.\nwww.two.test. A 203.0.113.10"))
    world.shop.add("one.shop.test. CNAME www.one.test.").add("two.shop.test. CNAME www.two.test.")
    remembering.add_zone("shop.test", OURS)
    remembering.start(world)
    for name in ("one.shop.test", "two.shop.test", "one.shop.test"):
        problem, text = order(remembering.clients[1], [name], remembering.key)
        assert problem is None, f"{name}: {text}"


def test_an_address_that_the_pool_has_had_for_a_moment_only_is_the_pools(whole_place):
    """shop.test goes by a name with ns1's new IPv6 address alone, which no record that is kept knows; a zone below is hidden."""
    whole_place.use((False, "off", TIMEOUT_MS))
    whole_place.reload(dns_referral_max_ttl=3600)
    try:
        below = whole_place.add_zone("deep.shop.test", OURS, 2)
        whole_place.add_zone("shop.test", OURS)
        attacker, former = whole_place.clients[2], whole_place.newest_certificate(below)
        for prepare in (hide_below_vanity, hide_below_new_address):
            whole_place.farm.world = world = World()
            prepare(world)
            problem, text = order(attacker, ["www.deep.shop.test"], whole_place.key)
            assert problem == (400, "dns"), text
            assert whole_place.reason_of_refusal(below) == "hidden", text
        assert whole_place.newest_certificate(below) == former
    finally:
        whole_place.reload(dns_referral_max_ttl=0)


def hide_below_vanity(world):
    add_foreign_vanity_parent(world, v1="A 127.66.0.11")
    add_deep(world, 11, 12, is_delegated=False)


def hide_below_new_address(world):
    add_sixth(world)
    add_deep(world, 11, 12, is_delegated=False)


# Ghost domains (Jiang et al. 2012) and phoenix domains (Li et al. 2023): a zone that has lost its delegation lives on in
# caches as long as somebody keeps asking


def nested(world, levels):
    """zones l1.shop.test, l2.l1.shop.test ..., each on a name server of its own that its parent refers to"""
    above, names = world.shop, []
    for at in range(1, levels + 1):
        origin = "".join(f"l{each}." for each in range(at, 0, -1)) + "shop.test."
        host = f"ns{2 + at}.provider.test."
        world.provider.remove(host).add(f"{host} A 127.66.0.{12 + at}")
        above.add(f"{origin} NS {host}")
        above = Zone(origin, f"{origin} NS {host}\nwww.{origin} A 203.0.113.9")
        world.server(12 + at, above)
        names.append((origin.rstrip("."), host.rstrip(".")))
    return names


def revoke(world):
    """shop.test is somebody else's now; its former servers go on."""
    world.tld.remove("shop.test.", "NS").add("shop.test. NS ns1.foreign.test.")
    world.at(21)[0].zones.append(Zone("shop.test.", "shop.test. NS ns1.foreign.test.\nwww.shop.test. A 203.0.113.7"))


def test_a_ghost_domain_ends_with_its_referral_however_often_it_is_asked_for(remembering):
    world = World()
    (zone, host), = nested(world, 1)
    remembering.add_zone("shop.test", OURS)
    remembering.add_zone(zone, host)
    remembering.start(world)
    client, names = remembering.clients[1], [f"www.{zone}"]
    assert order(client, names, remembering.key)[0] is None
    revoke(world)
    revoked = time.monotonic()
    while order(client, names, remembering.key)[0] is None:
        assert time.monotonic() - revoked < TTL + 2, "the former owner still gets certificates"
        time.sleep(0.2)
    assert time.monotonic() - revoked < TTL + 2
    assert order(client, names, remembering.key)[0] == (403, "unauthorized")
    assert order(client, ["www.shop.test"], remembering.key)[0] == (403, "unauthorized")


def test_a_phoenix_domain_does_not_live_on_in_ever_deeper_zones(remembering):
    """Each zone is learned from the one above while that is remembered, so each would be remembered anew."""
    world = World()
    zones = nested(world, 4)
    remembering.add_zone("shop.test", OURS)
    for zone, host in zones:
        remembering.add_zone(zone, host)
    remembering.start(world)
    client = remembering.clients[1]
    problem, text = order(client, [f"www.{zones[0][0]}"], remembering.key)
    assert problem is None, text
    revoke(world)
    revoked, outcomes = time.monotonic(), []
    for zone, _ in zones[1:]:
        time.sleep(0.75 * TTL)
        outcomes.append((time.monotonic() - revoked, *order(client, [f"www.{zone}"], remembering.key)))
    late = [problem for seconds, problem, _ in outcomes if seconds > TTL]
    assert late and set(late) == {(403, "unauthorized")}, outcomes


# What a forger must guess: each bound is missed by chance once in some 10^9 runs

ORDERS, NAMES = 45, 12
Z = 6.1  # standard deviations


def chi_square_bound(freedom):
    """Wilson and Hilferty"""
    part = 2 / (9 * freedom)
    return freedom * (1 - part + Z * part ** 0.5) ** 3


def assert_uniform(values, size, buckets, what):
    """Whole numbers from 0 to size - 1 fill the buckets evenly."""
    counts, edges = [0] * buckets, [-(-size * at // buckets) for at in range(buckets + 1)]
    for value in values:
        counts[value * buckets // size] += 1
    expected = [len(values) * (edges[at + 1] - edges[at]) / size for at in range(buckets)]
    statistic = sum((count - each) ** 2 / each for count, each in zip(counts, expected))
    assert statistic < chi_square_bound(buckets - 1), f"{what}: {statistic:.0f} {counts}"


def assert_unpredictable(values, size, what):
    """Spread, no more alike than chance has it, and nothing told about the next by the one before."""
    assert_uniform(values, size, 64, what)
    pairs = len(values) * (len(values) - 1) / 2 / size
    alike = sum(count * (count - 1) // 2 for count in collections.Counter(values).values())
    assert alike < pairs + Z * pairs ** 0.5 + 15, f"{what}: {alike} pairs alike, {pairs:.0f} expected"
    following = list(zip(values, values[1:]))
    assert_uniform([(after - before) % size for before, after in following], size, 64, f"differences of {what}")
    mean = (size - 1) / 2
    correlation = sum((before - mean) * (after - mean) for before, after in following) / len(following) / (size ** 2 / 12)
    assert abs(correlation) < Z / len(following) ** 0.5, f"{what}: correlation {correlation:.3f}"


def test_ports_ids_letter_case_and_probes_of_wildcards_cannot_be_guessed(whole_place):
    """Through the server: three thousand queries of orders for wildcards."""
    whole_place.use((False, "named", TIMEOUT_MS))
    whole_place.add_zone("shop.test", OURS)
    whole_place.farm.world, whole_place.farm.captured = World(), []
    whole_place.reload(dns_query_timeout_ms=5000, dns_deadline_ms=30000)  # nothing is asked twice
    try:
        whole_place.farm.world.shop.add("*.shop.test. A 203.0.113.1")
        for at in range(ORDERS):
            whole_place.clients[1].new_order([f"*.o{at}n{each}.shop.test" for each in range(NAMES)]).expect(201)
    finally:
        captured, whole_place.farm.captured = whole_place.farm.captured, None
    assert len(captured) > 2000
    low, high = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    assert_unpredictable([port - low for _, port in captured], high - low + 1, "ports")
    ids = [int.from_bytes(wire[:2], "big") for wire, _ in captured]
    assert_unpredictable(ids, 65536, "ids")
    assert_uniform([each & 255 for each in ids], 256, 256, "low bytes of ids")
    names = [wire[12:wire.index(b"\0", 12)] for wire, _ in captured]
    cases = [[int(each < 97) for each in one if chr(each).isalpha()] for one in names]
    for at in range(8):  # shop.test has eight letters
        bits = [each[-1 - at] for each in cases if len(each) > at]
        assert abs(sum(bits) - len(bits) / 2) < Z * len(bits) ** 0.5 / 2, f"letter {at}: {sum(bits)} of {len(bits)}"
    words = [sum(bit << at for at, bit in enumerate(each[-8:])) for each in cases if len(each) >= 8]
    assert_unpredictable(words, 256, "letter case of the last eight")
    probes = {one[1:17].lower() for one in names if one[0] == 16}
    assert len(probes) == ORDERS * NAMES
    assert_uniform([int(chr(each), 16) for probe in sorted(probes) for each in probe], 16, 16, "digits of probes")
