"""The ownership check against name servers that are broken or hostile: each scenario bends the honest tree of dns_farm.py
and says what the check must conclude. `originca check` runs the check that the server runs.

No scenario may take longer than the deadline, or send more queries than the budget."""

import base64
import hashlib
import json
import math
import os
import random
import struct
import time
from pathlib import Path

import dns.dnssec
import dns.flags
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from dns_farm import ASKED, EDGE, TYPE, Farm, Keys, Server, World, Zone, name
from under_test import run

DEADLINE_MS, TIMEOUT_MS, BUDGET, PER_NAME, PER_SERVER = 2500, 200, 60, 12, 3
POOL_QUERIES = 10  # beside the check, once: where the servers of the pool are
OURS = "ns1.provider.test,ns2.provider.test"
DEEP = {"zone": "deep.shop.test", "names": ("www.deep.shop.test",)}
OWN = (f"shop.test={OURS}",)  # the zone above is the same customer's
POOL = OURS + ",ns3.provider.test"
SCENARIOS = []


@pytest.fixture(scope="module")
def farm():
    farm = Farm()
    yield farm
    farm.close()


def check(farm, world, directory, names=("www.shop.test",), zone="shop.test", servers=OURS, caa=None, anchor=False,
          account=None, txt=None, budget=BUDGET, own=(), pool=None, timeout_ms=TIMEOUT_MS):
    """(verdict, reason, whole result)"""
    farm.world = world
    hints = directory / "hints"
    hints.write_text(". 3600 NS a.root.\na.root. 3600 A 127.66.0.1\n")
    command = [Path(os.environ["ORIGINCA_BUILD"]) / "cli" / "originca", "check", "--json", "--zone", zone,
               "--name-servers", servers, "--edge-prefixes", ",".join(EDGE), "--root-hints", hints, "--dns-port",
               farm.port, "--allow-addresses", ",".join(ASKED), "--deadline-ms", DEADLINE_MS, "--query-timeout-ms", timeout_ms,
               "--max-queries", budget]
    if caa:
        command += ["--caa-mode", caa, "--caa-identities", "ca.provider.test"]
    if account:
        command += ["--account-uri", account]
    if txt:
        command += ["--txt", txt]
    for each in own:
        command += ["--own-zone", each]
    if pool:
        command += ["--name-server-pool", pool]
    if anchor:
        (directory / "anchor").write_text(anchor if isinstance(anchor, str) else world.anchor())
        command += ["--trust-anchor", directory / "anchor"]
    result = run([*command, *names], check=False, timeout=30)
    assert result.stdout, result.stderr
    found = json.loads(result.stdout)
    findings = found["zones"] + found["names"]
    worst = next((each for each in findings if each["verdict"] == found["verdict"]), findings[-1])
    reason = worst["reason"] if found["verdict"] != "ok" else findings[-1]["reason"]
    per_name = PER_NAME + PER_SERVER * (len(servers.split(",")) - 1)
    assert found["sent"] <= budget + per_name * len(names), found["sent"]
    assert found["duration_ms"] <= DEADLINE_MS + 300, found["duration_ms"]
    assert (result.returncode == 0) == (found["verdict"] == "ok"), result
    return found["verdict"], reason, found


def scenario(verdict, reason, world=None, scenarios=SCENARIOS, **options):
    """Registers a scenario: `world` are the arguments of World, `options` those of check; `secure` asks for a
    validated (True) or unvalidated (False) name, `says` for words in the text."""

    def register(function):
        scenarios.append(pytest.param(function, verdict, reason, world or {}, options, id=function.__name__))
        return function

    return register


def signed(verdict, reason, **options):
    options.setdefault("anchor", True)
    world = {"is_signed": True, **{key: options.pop(key) for key in ("algorithm", "shop_signed") if key in options}}
    return scenario(verdict, reason, world=world, **options)


# Helpers for bending


def edit(function, kinds=None, names=None):
    """A hook that changes the honest answer before it is sent: function(answer, query)."""

    def hook(query, wire, transport, server):
        question = query.question[0]
        if kinds and dns.rdatatype.to_text(question.rdtype) not in kinds:
            return None
        if names and question.name.to_text().lower() not in names:
            return None
        answer = server.resolve(query)
        function(answer, query)
        return [answer.to_wire()]

    return hook


def reply(function, kinds=None, transports=("udp", "tcp")):
    """A hook on the bytes: function(honest reply, query bytes) -> actions."""

    def hook(query, wire, transport, server):
        if transport not in transports:
            return None
        if kinds and dns.rdatatype.to_text(query.question[0].rdtype) not in kinds:
            return None
        return function(server.resolve(query).to_wire(), wire)

    return hook


def record(owner, kind, *values):
    return dns.rrset.from_text(owner, 60, "IN", kind, *values)


def set_rcode(rcode):
    def change(answer, query):
        answer.rcode, answer.answer, answer.authority = rcode, [], []
        answer.is_authoritative = False

    return change


# 1. Honest trees


@scenario("ok", "proxied")
def honest(world):
    pass


@scenario("ok", "proxied", names=("*.shop.test",))
def honest_wildcard(world):
    world.shop.add("*.shop.test. A 203.0.113.77")


@scenario("ok", "proxied", names=("*.shop.test",))
def wildcard_without_dns_wildcard_takes_the_base(world):
    pass


@scenario("ok", "proxied", names=("a.b.c.shop.test",))
def deep_name_below_empty_non_terminals(world):
    world.shop.add("a.b.c.shop.test. A 203.0.113.5")


@scenario("ok", "proxied", names=("only4.shop.test",))
def only_v4(world):
    world.shop.add("only4.shop.test. A 203.0.113.5")


@scenario("ok", "proxied", names=("only6.shop.test",))
def only_v6(world):
    world.shop.add("only6.shop.test. AAAA 2001:db8:ed9e::5")


@scenario("ok", "proxied", servers=OURS + ",ns3.provider.test")
def a_subset_of_the_assigned_servers_is_enough(world):
    pass


@scenario("ok", "proxied")
def one_parent_server_is_silent(world):
    world.at(2)[0].listens = False


@scenario("ok", "proxied")
def parent_and_child_on_one_server(world):
    for server in world.at(2, 3):
        server.zones += [world.shop]


@scenario("ok", "proxied", own=OWN, caa="strict", **DEEP)
def a_zone_below_a_zone(world):
    for rr in ("deep.shop.test. NS ns1.provider.test.", "deep.shop.test. NS ns2.provider.test."):
        world.shop.add(rr)
    deep = Zone("deep.shop.test.", """deep.shop.test. NS ns1.provider.test.
        deep.shop.test. NS ns2.provider.test.
        www.deep.shop.test. A 203.0.113.9""")
    for server in world.at(11, 12):
        server.zones.append(deep)


OUR_PAIR = ("ns1.provider.test.", "ns2.provider.test.")


def below(world, *lasts, origin="deep.shop.test.", address="203.0.113.9", keys=None, name_servers=OUR_PAIR):
    """A zone below shop.test on the given servers; whether shop.test delegates it is another matter."""
    zone = Zone(origin, "\n".join([f"{origin} A {address}", f"www.{origin} A {address}",
                                   *(f"{origin} NS {each}" for each in name_servers)]), keys)
    for server in world.at(*lasts):
        server.zones.append(zone)
    return zone


def add_deep(world, *lasts, is_delegated=True, name_servers=OUR_PAIR):
    """deep.shop.test on servers of that number; shop.test has names there whether it delegates it or not."""
    if is_delegated:
        for each in name_servers:
            world.shop.add(f"deep.shop.test. NS {each}")
    else:
        world.shop.add("deep.shop.test. A 203.0.113.9")
    below(world, *lasts, name_servers=name_servers)




@scenario("failed", "hidden", **DEEP)
def a_zone_below_another_customers_on_servers_that_have_both(world):
    add_deep(world, 11, 12, is_delegated=False)


@scenario("failed", "walk-failed", says="the others do not answer", **DEEP)
def one_of_the_servers_of_another_customers_zone_has_the_zone_below_too(world):
    world.ns2.listens = False
    add_deep(world, 11, is_delegated=False)


@scenario("refused", "not-delegated", servers="ns3.provider.test", pool=POOL, **DEEP)
def a_zone_below_another_customers_that_its_servers_do_not_have(world):
    add_deep(world, 13, is_delegated=False, name_servers=("ns3.provider.test.",))


@scenario("ok", "proxied", servers="ns3.provider.test", pool=POOL, **DEEP)
def a_zone_below_another_customers_that_is_delegated_by_a_referral(world):
    add_deep(world, 13, name_servers=("ns3.provider.test.",))


@scenario("failed", "hidden", zone="a.deep.shop.test", servers="ns3.provider.test", pool=POOL,
          names=("www.a.deep.shop.test",))
def a_referral_by_a_zone_that_nobody_delegated_below_another_customers(world):
    add_deep(world, 11, 12, is_delegated=False)
    world.ns1.zones[-1].add("a.deep.shop.test. NS ns3.provider.test.")
    world.at(13)[0].zones.append(Zone("a.deep.shop.test.", """a.deep.shop.test. NS ns3.provider.test.
        www.a.deep.shop.test. A 203.0.113.9"""))


def add_vanity_parent(world, *servers):
    """shop.test with names of its own for name servers of the pool."""
    for zone in (world.tld, world.shop):
        zone.remove("shop.test.", "NS")
        for at in servers:
            zone.add(f"shop.test. NS ns{at}.shop.test.").add(f"ns{at}.shop.test. A 127.66.0.1{at}")


@scenario("failed", "hidden", pool=POOL, **DEEP)
def a_zone_below_anothers_whose_name_servers_are_the_pools_by_address(world):
    add_vanity_parent(world, 1, 2)
    add_deep(world, 11, 12, is_delegated=False)


def add_foreign_vanity_parent(world, **addresses):
    """shop.test is delegated to names in another zone, which is somebody else's: {v1="A 127.66.0.11"}."""
    for zone in (world.tld, world.shop):
        zone.remove("shop.test.", "NS")
        for label in addresses:
            zone.add(f"shop.test. NS {label}.foreign.test.")
    for label, record_of in addresses.items():
        world.foreign.add(f"{label}.foreign.test. {record_of}")


@scenario("failed", "hidden", pool=POOL, **DEEP)
def a_zone_below_anothers_whose_name_servers_have_names_in_a_third_zone(world):
    add_foreign_vanity_parent(world, v1="A 127.66.0.11", v2="A 127.66.0.12")
    add_deep(world, 11, 12, is_delegated=False)


@scenario("ok", "proxied", servers="ns3.provider.test", pool=POOL, **DEEP)
def a_delegation_by_a_zone_whose_name_servers_have_names_in_a_third_zone(world):
    """One of them has the zone below as well."""
    add_foreign_vanity_parent(world, v1="A 127.66.0.11", v2="A 127.66.0.12")
    add_deep(world, 12, 13, name_servers=("ns3.provider.test.",))


@scenario("failed", "hidden", pool=POOL, **DEEP)
def a_zone_below_anothers_whose_name_servers_are_the_pools_by_one_address_alone(world):
    """The other one is a stranger's, who has the zone below too."""
    add_foreign_vanity_parent(world, v1="A 127.66.0.11", v2="A 127.66.0.25")
    world.server(25, world.shop)
    add_deep(world, 11, 25, is_delegated=False)


def add_sixth(world):
    """ns1 has an IPv6 address as well, and shop.test is delegated to a name that has that one alone."""
    for zone in (world.tld, world.provider):
        zone.add("ns1.provider.test. AAAA ::1")
    world.servers["::1"] = sixth = Server("::1")
    sixth.zones = world.ns1.zones
    add_foreign_vanity_parent(world, v6="AAAA ::1")


@scenario("failed", "hidden", pool=POOL, **DEEP)
def a_zone_below_anothers_whose_name_server_is_the_pools_by_ipv6_alone(world):
    add_sixth(world)
    add_deep(world, 11, is_delegated=False)


@scenario("ok", "proxied", servers="ns3.provider.test", pool=POOL, **DEEP)
def a_delegation_by_a_zone_whose_name_server_is_the_pools_by_ipv6_alone(world):
    add_sixth(world)
    add_deep(world, 13, name_servers=("ns3.provider.test.",))


@scenario("failed", "hidden", pool=POOL, **DEEP)
def a_zone_below_anothers_whose_name_servers_are_somebody_elses_when_they_are_first_asked_for(world):
    """Each name has a foreign address in the first answer, and the pool's in all that follow."""
    add_foreign_vanity_parent(world, v1="A 127.66.0.11", v2="A 127.66.0.12")
    world.server(25, world.shop)
    add_deep(world, 11, 12, 25, is_delegated=False)
    seen = set()

    def move(answer, query):
        question = query.question[0].name
        if question not in seen and answer.answer:
            answer.answer = [record(question.to_text(), "A", "127.66.0.25")]
        seen.add(question)

    world.hook(edit(move, kinds=["A"], names=["v1.foreign.test."]), 21)


@scenario("failed", "walk-failed", pool=OURS + ",ns1.silent.test", says="addresses of the provider's name servers", **DEEP)
def a_zone_below_anothers_while_the_addresses_of_the_pool_are_unknown(world):
    world.tld.add("silent.test. NS ns.silent.test.").add("ns.silent.test. A 127.66.0.29")
    add_vanity_parent(world, 1, 2)
    add_deep(world, 11, 12, is_delegated=False)


@scenario("ok", "proxied", servers="ns3.provider.test", pool=POOL, **DEEP)
def a_delegation_that_only_one_server_of_the_zone_above_can_show(world):
    """The other one has the zone as well, and answers from it."""
    add_deep(world, 12, 13, name_servers=("ns3.provider.test.",))


@scenario("refused", "does-not-exist", pool=POOL, **DEEP)
def a_zone_that_one_server_of_the_zone_above_has_and_the_other_denies(world):
    add_deep(world, 12, is_delegated=False)
    world.shop.remove("deep.shop.test.")


LEAP = {"zone": "y.app.shop.test", "names": ("www.y.app.shop.test",), "servers": "ns3.provider.test", "pool": POOL}


def add_leap(world):
    """app.shop.test, which nobody delegated, is on ns2 and refers y.app.shop.test to ns3."""
    app = Zone("app.shop.test.", "app.shop.test. NS ns2.provider.test.\ny.app.shop.test. NS ns3.provider.test.")
    world.ns2.zones.append(app)
    below(world, 13, origin="y.app.shop.test.", name_servers=("ns3.provider.test.",))


@scenario("refused", "not-delegated", **LEAP)
def a_zone_to_which_a_hidden_zone_refers_beside_an_empty_non_terminal(world):
    add_leap(world)
    world.shop.add("x.app.shop.test. A 203.0.113.5").add("y.app.shop.test. A 203.0.113.5")


@scenario("refused", "does-not-exist", **LEAP)
def a_zone_to_which_a_hidden_zone_refers_although_the_first_server_denies_it_all(world):
    add_leap(world)


@scenario("failed", "walk-failed", **LEAP)
def a_zone_to_which_a_hidden_zone_refers_where_servers_choke_on_the_labels_between(world):
    add_leap(world)
    world.ns1.listens = False

    def choke(query, wire, transport, server):
        if query.question[0].name == name("app.shop.test."):
            answer = server.resolve(query)
            answer.rcode, answer.answer, answer.authority = dns.rcode.SERVFAIL, [], []
            return [answer.to_wire()]
        return None

    world.hook(choke, 12)


@scenario("refused", "sub-zone")
def a_zone_that_one_of_the_own_servers_has_at_the_name(world):
    """Nobody delegated it. Whichever server is asked first, the other one's answer must not be taken for the name's."""
    for server in world.at(11, 12):
        server.zones.append(Zone("www.shop.test.", "www.shop.test. NS ns3.provider.test.\nwww.shop.test. A 203.0.113.77"))


@scenario("refused", "gray")
def a_hidden_zone_at_a_name_server_without_glue(world):
    """ns2 has a zone ns1.provider.test that sends everybody to a server of its owner's; the true shop is gray."""
    def without_glue(answer, query):
        answer.additional = []

    world.hook(edit(without_glue, names=["shop.test."]), 2, 3)
    world.shop.remove("www.shop.test.").add("www.shop.test. A 198.51.100.7")
    world.ns2.zones.append(Zone("ns1.provider.test.", """ns1.provider.test. NS ns3.provider.test.
        ns1.provider.test. A 127.66.0.13"""))
    evil = Zone("shop.test.", "shop.test. NS ns1.provider.test.\nwww.shop.test. A 203.0.113.66")
    world.at(13)[0].zones = [world.provider, evil]


@scenario("refused", "reserved", zone="provider.test", names=("www.provider.test",), pool=POOL)
def a_zone_above_a_name_server_of_the_pool(world):
    world.provider.add("www.provider.test. A 203.0.113.5")


@scenario("ok", "proxied")
def an_alias_into_a_zone_below_another_customers_on_the_same_servers(world):
    """Where visitors are sent matters, not whose zones are on the way."""
    world.shop.remove("www.shop.test.").add("www.shop.test. CNAME www.cdn.blog.test.")
    world.tld.add("blog.test. NS ns1.provider.test.").add("blog.test. NS ns2.provider.test.")
    blog = Zone("blog.test.", "\n".join(f"{zone}. NS {server}" for zone in ("blog.test", "cdn.blog.test")
                                        for server in OUR_PAIR))
    for server in (world.ns1, world.ns2):
        server.zones.append(blog)
    below(world, 11, 12, origin="cdn.blog.test.")


@scenario("failed", "txt-failed", txt="token")
def an_alias_of_the_dns_01_record_into_a_zone_that_nobody_delegated(world):
    world.shop.add("_acme-challenge.www.shop.test. CNAME www.cdn.blog.test.")
    world.tld.add("blog.test. NS ns1.provider.test.").add("blog.test. NS ns2.provider.test.")
    blog = Zone("blog.test.", "\n".join([f"blog.test. NS {server}" for server in OUR_PAIR] + ['cdn.blog.test. TXT "x"']))
    for server in (world.ns1, world.ns2):
        server.zones.append(blog)
    below(world, 11, 12, origin="cdn.blog.test.").add('www.cdn.blog.test. TXT "token"')


@scenario("ok", "proxied")
def glueless_name_servers(world):
    world.tld.remove("ns1.provider.test.", "A").remove("ns2.provider.test.", "A")
    world.tld.remove("provider.test.", "NS").add("provider.test. NS ns1.foreign.test.")
    world.at(21)[0].zones.append(world.provider)


def add_vanity(world):
    """deep.shop.test names servers inside itself; its parent's servers have it too, and no answer has the addresses."""
    add_deep(world, 11, 12, name_servers=("ns1.deep.shop.test.", "ns2.deep.shop.test."))
    for at in (1, 2):
        for zone in (world.shop, world.ns1.zones[-1]):
            zone.add(f"ns{at}.deep.shop.test. A 127.66.0.1{at}")


VANITY = {**DEEP, "servers": "ns1.deep.shop.test,ns2.deep.shop.test", "own": OWN}


@scenario("ok", "proxied", **VANITY)
def name_servers_inside_a_zone_that_its_parents_servers_have_too(world):
    add_vanity(world)


@scenario("ok", "proxied", zone="a.deep.shop.test", names=("www.a.deep.shop.test",),
          own=(*OWN, "deep.shop.test=ns1.deep.shop.test,ns2.deep.shop.test"))
def a_zone_below_one_with_name_servers_inside_itself(world):
    add_vanity(world)
    world.ns1.zones[-1].add("a.deep.shop.test. NS ns1.provider.test.").add("a.deep.shop.test. NS ns2.provider.test.")
    below(world, 11, 12, origin="a.deep.shop.test.")


@scenario("failed", "no-address", **VANITY)
def name_servers_inside_a_zone_that_have_no_address_there(world):
    add_vanity(world)
    for at in (1, 2):
        world.ns1.zones[-1].remove(f"ns{at}.deep.shop.test.")


@signed("ok", "proxied", secure=False, **VANITY)
def name_servers_inside_an_unsigned_zone_below_a_signed_one(world):
    add_vanity(world)


@scenario("failed", "no-address", servers="ns1.shop.test", says="has no glue")
def a_delegation_without_glue(world):
    world.tld.remove("shop.test.", "NS").add("shop.test. NS ns1.shop.test.")
    world.shop.remove("shop.test.", "NS").add("shop.test. NS ns1.shop.test.").add("ns1.shop.test. A 127.66.0.11")


@scenario("ok", "proxied", servers="ns1.shop.test,ns1.provider.test")
def one_name_server_without_glue_is_found_by_the_other(world):
    world.tld.remove("shop.test.", "NS").add("shop.test. NS ns1.shop.test.").add("shop.test. NS ns1.provider.test.")
    world.shop.remove("shop.test.", "NS").add("shop.test. NS ns1.shop.test.").add("shop.test. NS ns1.provider.test.")
    world.shop.add("ns1.shop.test. A 127.66.0.12")


@scenario("ok", "proxied", names=("alias.shop.test",))
def cname_inside_the_zone(world):
    world.shop.add("alias.shop.test. CNAME www.shop.test.")


@scenario("ok", "proxied", names=("alias.shop.test",))
def cname_out_of_the_zone_to_the_edge(world):
    world.shop.add("alias.shop.test. CNAME edge.provider.test.")
    world.provider.add("edge.provider.test. A 203.0.113.1")


@scenario("ok", "proxied", names=("x.old.shop.test",))
def dname_inside_the_zone(world):
    world.shop.add("old.shop.test. DNAME new.shop.test.").add("x.new.shop.test. A 203.0.113.3")


@scenario("ok", "proxied", names=("alias0.shop.test",))
def eight_aliases_are_followed(world):
    for at in range(8):
        world.shop.add(f"alias{at}.shop.test. CNAME alias{at + 1}.shop.test.")
    world.shop.add("alias8.shop.test. A 203.0.113.3")


@scenario("ok", "proxied")
def a_name_server_with_an_ipv6_address_alone(world):
    world.servers["::1"] = Server("::1", list(world.ns2.zones))
    for zone in (world.tld, world.provider):
        zone.remove("ns2.provider.test.", "A").add("ns2.provider.test. AAAA ::1")


@scenario("ok", "proxied")
def a_silent_ipv6_address_beside_a_good_ipv4_one(world):
    for zone in (world.tld, world.provider):
        zone.add("ns2.provider.test. AAAA ::1")


# 2. Delegation


@scenario("refused", "delegated-elsewhere")
def delegated_to_a_foreign_pair(world):
    world.tld.remove("shop.test.", "NS").add("shop.test. NS ns1.foreign.test.")


@scenario("refused", "delegated-elsewhere", servers="ns3.provider.test,ns4.provider.test")
def delegated_to_another_customers_pair(world):
    pass


@scenario("refused", "partly-delegated")
def one_foreign_server_beside_ours(world):
    world.tld.add("shop.test. NS ns1.foreign.test.")


@scenario("refused", "partly-delegated")
def another_customers_server_beside_ours(world):
    world.tld.add("shop.test. NS ns3.provider.test.")


@scenario("refused", "not-delegated")
def no_zone_cut_at_the_parent(world):
    world.tld.remove("shop.test.", "NS").add("shop.test. A 203.0.113.10")


@scenario("refused", "does-not-exist")
def the_parent_knows_no_such_name(world):
    world.tld.remove("shop.test.")


@scenario("refused", "not-delegated")
def an_empty_non_terminal_is_no_delegation(world):
    world.tld.remove("shop.test.", "NS").add("deeper.shop.test. A 203.0.113.10")


@scenario("refused", "not-delegated")
def an_alias_is_no_delegation(world):
    world.tld.remove("shop.test.", "NS").add("shop.test. CNAME other.test.")


@scenario("refused", "foreign-in-zone")
def the_zone_names_another_server_itself(world):
    world.shop.add("shop.test. NS ns1.foreign.test.")


@scenario("refused", "foreign-in-zone")
def the_zone_names_only_others_itself(world):
    world.shop.remove("shop.test.", "NS").add("shop.test. NS ns1.foreign.test.")


@scenario("refused", "foreign-in-zone")
def one_of_the_servers_has_an_old_zone(world):
    old = Zone("shop.test.", "shop.test. NS ns9.elsewhere.test.\nwww.shop.test. A 203.0.113.10")
    world.ns2.zones = [world.provider, old]


@scenario("refused", "lame")
def both_servers_do_not_know_the_zone(world):
    for server in (world.ns1, world.ns2):
        server.zones = [world.provider]


@scenario("refused", "lame")
def one_server_does_not_know_the_zone(world):
    world.ns2.zones = [world.provider]


@scenario("refused", "lame")
def one_server_answers_without_authority(world):
    world.ns2.hooks.append(edit(lambda answer, query: setattr(answer, "is_authoritative", False), names=["shop.test."]))


@scenario("refused", "lame")
def one_server_says_there_is_no_such_zone(world):
    world.ns2.hooks.append(edit(set_rcode(dns.rcode.NXDOMAIN), names=["shop.test."]))


@scenario("refused", "lame")
def a_server_refers_back_to_the_root(world):
    def refer(answer, query):
        answer.is_authoritative, answer.answer = False, []
        answer.authority = [record(".", "NS", "a.root.")]

    world.hook(edit(refer, names=["shop.test."]))


@scenario("refused", "lame")
def a_server_has_no_ns_records(world):
    world.shop.remove("shop.test.", "NS")


@scenario("failed", "unreachable")
def one_server_is_silent(world):
    world.ns2.listens = False


@scenario("failed", "unreachable")
def both_servers_are_silent(world):
    world.ns1.listens = world.ns2.listens = False


@scenario("failed", "servfail")
def one_server_fails(world):
    world.ns2.hooks.append(edit(set_rcode(dns.rcode.SERVFAIL), names=["shop.test."]))


@scenario("failed", "walk-failed")
def the_parent_is_silent(world):
    for server in world.at(2, 3):
        server.listens = False


@scenario("failed", "walk-failed")
def the_parent_fails(world):
    for server in world.at(2, 3):
        server.hooks.append(edit(set_rcode(dns.rcode.SERVFAIL)))


@scenario("failed", "walk-failed")
def the_root_is_silent(world):
    world.at(1)[0].listens = False


@scenario("failed", "walk-failed")
def the_parent_refuses(world):
    for server in world.at(2, 3):
        server.hooks.append(edit(set_rcode(dns.rcode.REFUSED)))


@scenario("refused", "partly-delegated", servers=",".join(f"n{at}.provider.test" for at in range(16)))
def a_foreign_server_behind_sixteen_of_ours(world):
    world.tld.remove("shop.test.", "NS")
    for at in range(16):
        world.tld.add(f"shop.test. NS n{at}.provider.test.")
    world.tld.add("shop.test. NS zz.foreign.test.")


@scenario("failed", "no-address")
def a_name_server_without_any_address(world):
    world.provider.remove("ns2.provider.test.")
    world.tld.remove("ns2.provider.test.", "A")


@scenario("failed", "walk-failed")
def a_referral_upwards_is_no_progress(world):
    def up(answer, query):
        answer.is_authoritative, answer.answer = False, []
        answer.authority = [record(".", "NS", "a.root.")]

    world.hook(edit(up), 2, 3)


@scenario("failed", "walk-failed")
def a_referral_to_itself_is_no_progress(world):
    def again(answer, query):
        answer.is_authoritative, answer.answer = False, []
        answer.authority = [record("test.", "NS", "a.nic.test.")]

    world.hook(edit(again), 2, 3)


@scenario("failed", "walk-failed")
def a_referral_sideways_is_not_followed(world):
    def aside(answer, query):
        answer.is_authoritative, answer.answer = False, []
        answer.authority = [record("other.test.", "NS", "ns1.provider.test.")]

    world.hook(edit(aside, names=["shop.test."]), 2, 3)


@scenario("refused", "delegated-elsewhere")
def glue_outside_the_bailiwick_is_not_believed(world):
    """The parent of shop.test gives an address for ns1.provider.example-like names: only those below test. count."""
    world.tld.remove("shop.test.", "NS").add("shop.test. NS ns1.elsewhere.other.")

    def poison(answer, query):
        answer.additional = [record("ns1.elsewhere.other.", "A", "127.66.0.11")]

    world.hook(edit(poison, names=["shop.test."]), 2, 3)


@scenario("failed", "unreachable")
def glue_that_points_elsewhere_finds_silence(world):
    world.tld.remove("ns2.provider.test.", "A").add("ns2.provider.test. A 127.66.0.29")


@scenario("refused", "delegated-elsewhere")
def a_typo_of_our_name_server(world):
    world.tld.remove("shop.test.", "NS").add("shop.test. NS ns1.providers.test.")


@scenario("refused", "partly-delegated")
def sixteen_more_name_servers(world):
    for at in range(16):
        world.tld.add(f"shop.test. NS x{at}.foreign.test.")


@scenario("failed", "walk-failed")
def glueless_servers_that_need_each_other(world):
    """provider.test is served by foreign2.test and the other way round: neither can be found."""
    world.tld.remove("provider.test.", "NS").remove("ns1.provider.test.").remove("ns2.provider.test.")
    world.tld.add("provider.test. NS ns.foreign2.test.").add("foreign2.test. NS ns.provider.test.")
    world.tld.remove("shop.test.", "NS").add("shop.test. NS ns1.provider.test.").add("shop.test. NS ns2.provider.test.")


SCENARIOS[-1] = pytest.param(SCENARIOS[-1].values[0], "failed", "no-address", {}, {}, id=SCENARIOS[-1].id)


@scenario("failed", "*")
def an_ns_bomb_ends_within_the_budget(world):
    """NXNSAttack: each name server's name leads to a zone with many name servers without addresses."""
    world.tld.remove("provider.test.", "NS").remove("ns1.provider.test.").remove("ns2.provider.test.")
    for at in range(15):
        world.tld.add(f"provider.test. NS ns{at}.bomb{at}.test.")
        for below in range(15):
            world.tld.add(f"bomb{at}.test. NS ns{below}.bomb{(at + below + 1) % 15}.test.")


# 3. Names


@scenario("refused", "gray")
def an_address_that_is_not_the_edges(world):
    world.shop.remove("www.shop.test.").add("www.shop.test. A 198.51.100.1")


@scenario("refused", "gray")
def v4_on_the_edge_v6_not(world):
    world.shop.remove("www.shop.test.", "AAAA").add("www.shop.test. AAAA 2001:db8:bad::1")


@scenario("refused", "gray")
def v6_on_the_edge_v4_not(world):
    world.shop.remove("www.shop.test.", "A").add("www.shop.test. A 192.0.2.1")


@scenario("refused", "gray")
def one_of_two_addresses_is_not_the_edges(world):
    world.shop.add("www.shop.test. A 192.0.2.1")


@scenario("refused", "gray", names=("m.shop.test",))
def a_mapped_address_outside(world):
    world.shop.add("m.shop.test. AAAA ::ffff:192.0.2.1")


@scenario("ok", "proxied", names=("m.shop.test",))
def a_mapped_address_inside_is_the_address(world):
    world.shop.add("m.shop.test. AAAA ::ffff:203.0.113.9")


@scenario("refused", "gray", names=("near.shop.test",))
def an_address_just_outside_the_prefix(world):
    world.shop.add("near.shop.test. A 203.0.114.0")


@scenario("refused", "gray", names=("lo.shop.test",))
def loopback_addresses(world):
    world.shop.add("lo.shop.test. A 127.0.0.1")


@scenario("refused", "does-not-exist", names=("nope.shop.test",))
def a_name_that_does_not_exist(world):
    pass


@scenario("refused", "no-address", names=("mail.shop.test",))
def a_name_without_addresses(world):
    world.shop.add("mail.shop.test. MX 10 www.shop.test.")


@scenario("refused", "gray", names=("*.shop.test",))
def a_wildcard_that_is_gray(world):
    world.shop.add("*.shop.test. A 192.0.2.1")


@scenario("refused", "gray", names=("*.shop.test",))
def a_wildcard_whose_base_is_gray(world):
    world.shop.remove("shop.test.", "A").add("shop.test. A 192.0.2.1")


@scenario("refused", "no-address", names=("*.shop.test",))
def a_wildcard_without_anything(world):
    world.shop.remove("shop.test.", "A")


@scenario("refused", "sub-zone", names=("www.sub.shop.test",))
def a_name_in_a_zone_below(world):
    world.shop.add("sub.shop.test. NS ns1.foreign.test.")


@scenario("refused", "sub-zone", names=("www.sub.shop.test",))
def a_zone_below_on_the_same_servers(world):
    world.shop.add("sub.shop.test. NS ns1.foreign.test.")
    sub = Zone("sub.shop.test.", "sub.shop.test. NS ns1.provider.test.\nwww.sub.shop.test. A 203.0.113.9")
    for server in world.at(11, 12):
        server.zones.append(sub)


@scenario("refused", "sub-zone", names=("sub.shop.test",))
def the_name_is_itself_a_zone_below(world):
    world.shop.add("sub.shop.test. NS ns1.foreign.test.")


@scenario("refused", "gray", names=("alias.shop.test",))
def an_alias_to_a_gray_name(world):
    world.shop.add("alias.shop.test. CNAME gray.shop.test.").add("gray.shop.test. A 192.0.2.1")


@scenario("refused", "gray", names=("alias.shop.test",))
def an_alias_out_of_the_zone_to_a_gray_name(world):
    world.shop.add("alias.shop.test. CNAME host.foreign.test.")
    world.foreign.add("host.foreign.test. A 192.0.2.1")


@scenario("refused", "does-not-exist", names=("alias.shop.test",))
def an_alias_to_nothing(world):
    world.shop.add("alias.shop.test. CNAME gone.foreign.test.")


@scenario("refused", "cname-chain", names=("alias0.shop.test",))
def nine_aliases_are_too_many(world):
    for at in range(9):
        world.shop.add(f"alias{at}.shop.test. CNAME alias{at + 1}.shop.test.")
    world.shop.add("alias9.shop.test. A 203.0.113.3")


@scenario("refused", "cname-chain", names=("loop.shop.test",))
def an_alias_to_itself(world):
    world.shop.add("loop.shop.test. CNAME loop.shop.test.")


@scenario("refused", "cname-chain", names=("a.shop.test",))
def two_aliases_in_a_circle(world):
    world.shop.add("a.shop.test. CNAME b.shop.test.").add("b.shop.test. CNAME a.shop.test.")


@scenario("refused", "cname-chain", names=("a.shop.test",))
def aliases_in_a_circle_over_two_zones(world):
    world.shop.add("a.shop.test. CNAME a.foreign.test.")
    world.foreign.add("a.foreign.test. CNAME a.shop.test.")


@scenario("refused", "cname-chain", names=("x.old.shop.test",))
def a_dname_onto_itself(world):
    world.shop.add("old.shop.test. DNAME old.shop.test.")


@scenario("failed", "lookup-failed", names=("alias.shop.test",))
def an_alias_into_a_silent_zone(world):
    world.shop.add("alias.shop.test. CNAME host.foreign.test.")
    world.at(21)[0].listens = False


@scenario("refused", "gray", names=("alias.shop.test",))
def what_a_server_says_of_foreign_aliases_targets_is_not_believed(world):
    world.shop.add("alias.shop.test. CNAME host.foreign.test.")
    world.foreign.add("host.foreign.test. A 192.0.2.1")

    def lie(answer, query):
        answer.answer.append(record("host.foreign.test.", "A", "203.0.113.3"))

    world.hook(edit(lie, kinds=["A"], names=["alias.shop.test."]))


@scenario("refused", "does-not-exist", names=("www.shop.test",))
def answers_for_other_names_are_no_answers(world):
    world.shop.remove("www.shop.test.")

    def lie(answer, query):
        answer.answer.append(record("shop.test.", "A", "203.0.113.3"))

    world.hook(edit(lie, kinds=["A", "AAAA"]))


@scenario("failed", "lookup-failed")
def addresses_fail(world):
    world.hook(edit(set_rcode(dns.rcode.SERVFAIL), kinds=["A", "AAAA"]))


@scenario("failed", "lookup-failed")
def only_aaaa_fails(world):
    world.hook(edit(set_rcode(dns.rcode.SERVFAIL), kinds=["AAAA"]))


@scenario("failed", "lookup-failed")
def aaaa_is_dropped(world):
    world.hook(lambda query, wire, transport, server: [] if query.question[0].rdtype == TYPE("AAAA") else None)


# 4. dns-01


@scenario("ok", "proven", txt="token-value")
def the_text_is_there(world):
    world.shop.add('_acme-challenge.www.shop.test. TXT "token-value"')


@scenario("ok", "proven", txt="token-value")
def the_text_is_among_others(world):
    world.shop.add('_acme-challenge.www.shop.test. TXT "old"').add('_acme-challenge.www.shop.test. TXT "token-value"')


@scenario("refused", "no-txt", txt="token-value")
def no_text(world):
    pass


@scenario("refused", "wrong-txt", txt="token-value")
def another_text(world):
    world.shop.add('_acme-challenge.www.shop.test. TXT "token-valu"')


@scenario("ok", "proven", txt="token-value")
def a_text_behind_an_alias(world):
    world.shop.add("_acme-challenge.www.shop.test. CNAME acme.foreign.test.")
    world.foreign.add('acme.foreign.test. TXT "token-value"')


@scenario("refused", "gray", txt="token-value")
def a_text_does_not_help_a_gray_name(world):
    world.shop.add('_acme-challenge.www.shop.test. TXT "token-value"')
    world.shop.remove("www.shop.test.").add("www.shop.test. A 192.0.2.1")


# 5. Transport


def flip(at, mask=0xFF):
    return lambda honest, wire: [honest[:at] + bytes([honest[at] ^ mask]) + honest[at + 1:]]


@scenario("failed", "*")
def every_answer_has_a_wrong_id(world):
    world.hook(reply(flip(0)))


def fold_case(honest, wire):
    return [honest[:12] + honest[12:].replace(wire[12:wire.index(b"\0", 12)], wire[12:wire.index(b"\0", 12)].lower(), 1)]


@scenario("ok", "proxied")
def every_answer_has_lost_the_letter_case_over_tcp_too(world):
    """Over TCP the handshake has proven the address."""
    world.hook(reply(fold_case), 2, 3, 11, 12)


@scenario("failed", "*")
def every_answer_repeats_another_letter_case_and_tcp_is_refused(world):
    world.hook(reply(lambda honest, wire: [honest[:13] + bytes([honest[13] ^ 0x20]) + honest[14:]], transports=("udp",)))
    world.hook(lambda query, wire, transport, server: ["close"] if transport == "tcp" else None)


@scenario("failed", "*")
def every_answer_over_tcp_is_to_another_question(world):
    world.hook(reply(lambda honest, wire: [honest[:13] + bytes([honest[13] ^ 1]) + honest[14:]], transports=("tcp",)))
    world.hook(reply(fold_case, transports=("udp",)))


@scenario("failed", "*")
def every_answer_is_to_another_question(world):
    world.hook(reply(lambda honest, wire: [honest[:13] + b"x" + honest[14:]]))


@scenario("failed", "*")
def every_answer_is_to_another_type(world):
    def other_type(honest, wire):
        end = honest.index(b"\0", 12) + 1
        return [honest[:end] + struct.pack(">H", 99) + honest[end + 2:]]

    world.hook(reply(other_type))


@scenario("failed", "*")
def every_answer_is_a_query(world):
    world.hook(reply(flip(2, 0x80)))


@scenario("failed", "*")
def every_answer_is_empty(world):
    world.hook(reply(lambda honest, wire: [b""]))


@scenario("failed", "*")
def every_answer_is_garbage(world):
    world.hook(reply(lambda honest, wire: [wire[:2] + random.Random(7).randbytes(200)]))


@scenario("failed", "*")
def every_answer_is_cut_short(world):
    world.hook(reply(lambda honest, wire: [honest[:len(honest) - 7]]))


@scenario("failed", "*")
def every_answer_claims_more_records_than_it_has(world):
    world.hook(reply(lambda honest, wire: [honest[:6] + b"\xff\xff" + honest[8:]]))


@scenario("failed", "*")
def compression_pointers_in_a_loop(world):
    def loop(honest, wire):
        end = wire.index(b"\0", 12) + 5
        at = end
        body = struct.pack(">H", 0xC000 | at) + struct.pack(">HHIH", 1, 1, 60, 4) + b"\xcb\x00\x71\x01"
        return [wire[:2] + b"\x84\x00\x00\x01\x00\x01\x00\x00\x00\x00" + wire[12:end] + body]

    world.hook(reply(loop))


@scenario("failed", "*")
def a_compression_pointer_forwards(world):
    def forward(honest, wire):
        end = wire.index(b"\0", 12) + 5
        body = struct.pack(">H", 0xC000 | 0x3FFF) + struct.pack(">HHIH", 1, 1, 60, 4) + b"\xcb\x00\x71\x01"
        return [wire[:2] + b"\x84\x00\x00\x01\x00\x01\x00\x00\x00\x00" + wire[12:end] + body]

    world.hook(reply(forward))


@scenario("ok", "proxied")
def one_forged_answer_before_the_true_one(world):
    world.hook(reply(lambda honest, wire: [flip(0)(honest, wire)[0], honest], transports=("udp",)))


@scenario("ok", "proxied")
def a_race_of_forged_answers_moves_to_tcp(world):
    forged = random.Random(3)
    world.hook(reply(lambda honest, wire: [forged.randbytes(2) + honest[2:] for _ in range(40)],
                     transports=("udp",)))


@scenario("ok", "proxied")
def forged_addresses_with_wrong_ids_are_not_taken(world):
    """The forger gets everything right but the id and the letter case, and sends first."""

    def forge(query, wire, transport, server):
        if transport != "udp" or query.question[0].rdtype != TYPE("NS"):
            return None
        answer = server.resolve(query)
        answer.answer = [record(query.question[0].name.to_text(), "NS", "ns1.foreign.test.")]
        lie = answer.to_wire()
        return [bytes([lie[0] ^ 1]) + lie[1:], lie[:2] + lie[2:12] + lie[12:].swapcase(), server.resolve(query).to_wire()]

    world.hook(forge)


@scenario("ok", "proxied")
def an_answer_from_another_address_is_ignored(world):
    def from_aside(query, wire, transport, server):
        if transport != "udp":
            return None
        return [("127.66.0.30", server.resolve(query).to_wire()), server.resolve(query).to_wire()]

    world.hook(from_aside)


@scenario("failed", "*")
def answers_only_from_another_address(world):
    def from_aside(query, wire, transport, server):
        return [("127.66.0.30", server.resolve(query).to_wire())] if transport == "udp" else ["close"]

    world.hook(from_aside)


@scenario("ok", "proxied")
def answers_twice(world):
    world.hook(reply(lambda honest, wire: [honest, honest], transports=("udp",)))


@scenario("ok", "proxied")
def truncated_answers_are_asked_for_over_tcp(world):
    def truncate(query, wire, transport, server):
        if transport == "tcp":
            return None
        answer = server.resolve(query)
        answer.is_truncated, answer.answer, answer.authority = True, [], []
        return [answer.to_wire()]

    world.hook(truncate, 1, 2, 3, 11, 12)


@scenario("failed", "*")
def truncated_and_tcp_is_refused(world):
    def truncate(query, wire, transport, server):
        if transport == "tcp":
            return ["close"]
        answer = server.resolve(query)
        answer.is_truncated, answer.answer = True, []
        return [answer.to_wire()]

    world.hook(truncate)


@scenario("failed", "*")
def truncated_over_tcp_too(world):
    def truncate(query, wire, transport, server):
        answer = server.resolve(query)
        answer.is_truncated, answer.answer, answer.authority = True, [], []
        return [answer.to_wire()]

    world.hook(truncate)


@scenario("failed", "*")
def tcp_drips(world):
    def drip(query, wire, transport, server):
        answer = server.resolve(query)
        answer.is_truncated, answer.answer, answer.authority = True, [], []
        return [answer.to_wire()] if transport == "udp" else [30.0, b"x"]

    world.hook(drip)


@scenario("refused", "too-many-addresses")
def more_addresses_than_anybody_has(world):
    for at in range(1, 120):
        world.shop.add(f"www.shop.test. A 203.0.113.{at}")


@scenario("failed", "*")
def more_records_than_a_message_needs(world):
    """What is hidden behind a bound must not count as absent."""
    for at in range(1, 200):
        world.shop.add(f"www.shop.test. A 203.0.113.{at}").add(f"www.shop.test. TXT \"{at}\"")

    def stuff(answer, query):
        answer.answer[:0] = [record(f"x{at}.shop.test.", "A", "203.0.113.1") for at in range(300)]

    world.hook(edit(stuff, kinds=["A"]))


@scenario("ok", "proxied")
def a_large_answer_comes_over_tcp(world):
    for at in range(1, 60):
        world.shop.add(f"www.shop.test. A 203.0.113.{at}")


@scenario("ok", "proxied")
def a_server_that_refuses_edns(world):
    def no_edns(query, wire, transport, server):
        if query.edns < 0:
            return None
        return [wire[:2] + b"\x80\x01\x00\x00\x00\x00\x00\x00\x00\x00"]

    world.hook(no_edns)


@scenario("ok", "proxied")
def a_server_that_refuses_edns_and_truncates(world):
    def no_edns(query, wire, transport, server):
        if query.edns >= 0:
            return [wire[:2] + b"\x80\x01\x00\x00\x00\x00\x00\x00\x00\x00"]
        if transport == "tcp":
            return None
        answer = server.resolve(query)
        answer.is_truncated, answer.answer, answer.authority, answer.additional = True, [], [], []
        return [answer.to_wire()]

    world.hook(no_edns)


@pytest.mark.parametrize("lame", [2, 3])
@pytest.mark.parametrize("is_upward", [True, False], ids=["upward-referral", "without-authority"])
def test_one_lame_server_of_the_parents_two_does_not_matter(farm, tmp_path, lame, is_upward):
    """It answers politely, but has no authority: the other one is asked. Which comes first is chance."""
    def answer_politely(query, wire, transport, server):
        answer = server.resolve(query)
        answer.is_authoritative, answer.answer, answer.authority, answer.additional = False, [], [], []
        if is_upward:
            answer.authority.append(server_of_the_root.get(name("."), TYPE("NS")))
        return [answer.to_wire()]

    for _ in range(4):
        world = World()
        server_of_the_root = world.root
        world.at(lame)[0].hooks.append(answer_politely)
        verdict, reason, found = check(farm, world, tmp_path)
        assert (verdict, reason) == ("ok", "proxied"), found


@scenario("ok", "proxied")
def a_server_that_does_not_know_edns_says_notimp(world):
    def no_edns(query, wire, transport, server):
        if query.edns < 0:
            return None
        answer = server.resolve(query)
        answer.rcode, answer.answer, answer.authority = dns.rcode.NOTIMP, [], []
        return [answer.to_wire()]

    world.hook(no_edns)


@scenario("ok", "proxied")
def slow_answers_within_the_time(world):
    world.hook(lambda query, wire, transport, server: [0.05, server.resolve(query).to_wire()])


@scenario("failed", "*")
def answers_later_than_the_time(world):
    world.hook(lambda query, wire, transport, server: [1.5, server.resolve(query).to_wire()])


@scenario("ok", "proxied")
def the_first_query_of_each_name_is_lost(world):
    seen = set()

    def lose(query, wire, transport, server):
        key = (server.address, query.question[0].name.to_text().lower(), query.question[0].rdtype)
        if key in seen:
            return None
        seen.add(key)
        return []

    world.hook(lose)


@scenario("ok", "proxied", names=("a.b.shop.test",))
def a_server_that_denies_empty_non_terminals(world):
    world.shop.add("a.b.shop.test. A 203.0.113.3")
    world.hook(edit(set_rcode_keeping_authority(dns.rcode.NXDOMAIN), names=["b.shop.test."]))


@scenario("ok", "proxied", names=("a.b.shop.test",), caa="off")
def a_server_that_fails_on_empty_non_terminals(world):
    world.shop.add("a.b.shop.test. A 203.0.113.3")
    world.hook(edit(set_rcode(dns.rcode.SERVFAIL), names=["b.shop.test."]))


def set_rcode_keeping_authority(rcode):
    def change(answer, query):
        answer.rcode, answer.answer = rcode, []

    return change


@scenario("ok", "proxied")
def records_of_another_class_are_passed_over(world):
    def chaos(answer, query):
        extra = dns.rrset.from_text(query.question[0].name, 60, "CH", "TXT", '"hello"')
        answer.additional.append(extra)

    world.hook(edit(chaos))


@scenario("ok", "proxied")
def four_hundred_records_of_no_use(world):
    def stuff(answer, query):
        answer.additional += [record(f"x{at}.shop.test.", "A", "192.0.2.9") for at in range(20)]

    world.hook(edit(stuff))


# 6. CAA


@scenario("ok", "proxied", caa="strict")
def caa_none(world):
    pass


@scenario("ok", "proxied", caa="strict")
def caa_names_us(world):
    world.shop.add('www.shop.test. CAA 0 issue "ca.provider.test"')


@scenario("refused", "caa-refused", caa="strict")
def caa_names_another(world):
    world.shop.add('www.shop.test. CAA 0 issue "letsencrypt.org"')


@scenario("ok", "proxied", caa="named")
def caa_that_names_another_does_not_bind_in_mode_named(world):
    world.shop.add('www.shop.test. CAA 0 issue "letsencrypt.org"')


@scenario("refused", "caa-refused", caa="strict")
def caa_at_the_apex_counts_for_names_below(world):
    world.shop.add('shop.test. CAA 0 issue "letsencrypt.org"')


@scenario("ok", "proxied", caa="strict")
def caa_at_the_name_hides_the_apex(world):
    world.shop.add('shop.test. CAA 0 issue "letsencrypt.org"').add('www.shop.test. CAA 0 issue "ca.provider.test"')


@scenario("refused", "caa-refused", caa="strict")
def caa_above_the_zone_counts(world):
    world.tld.add('test. CAA 0 issue "letsencrypt.org"')


@scenario("refused", "caa-refused", caa="strict")
def caa_forbids_everybody(world):
    world.shop.add('www.shop.test. CAA 0 issue ";"')


@scenario("ok", "proxied", caa="strict", names=("*.shop.test",))
def caa_issuewild_names_us(world):
    world.shop.add('shop.test. CAA 0 issue "letsencrypt.org"').add('shop.test. CAA 0 issuewild "ca.provider.test"')


@scenario("refused", "caa-refused", caa="strict", names=("*.shop.test",))
def caa_issuewild_forbids_wildcards(world):
    world.shop.add('shop.test. CAA 0 issuewild ";"')


@scenario("ok", "proxied", caa="strict")
def caa_issuewild_says_nothing_of_plain_names(world):
    world.shop.add('shop.test. CAA 0 issuewild ";"')


@scenario("refused", "caa-critical", caa="strict")
def caa_critical_unknown_property(world):
    world.shop.add('www.shop.test. CAA 128 tbs "unknown"')


@scenario("ok", "proxied", caa="strict")
def caa_unknown_property_that_is_not_critical(world):
    world.shop.add('www.shop.test. CAA 0 tbs "unknown"')


@scenario("ok", "proxied", caa="strict")
def caa_iodef_alone_forbids_nothing(world):
    world.shop.add('www.shop.test. CAA 0 iodef "mailto:a@shop.test"')


@scenario("ok", "proxied", caa="named", account="https://ca/acme/account/1")
def caa_accounturi_is_ours(world):
    world.shop.add('www.shop.test. CAA 0 issue "ca.provider.test; accounturi=https://ca/acme/account/1"')


@scenario("refused", "caa-restricted", caa="named", account="https://ca/acme/account/2")
def caa_accounturi_is_anothers(world):
    world.shop.add('www.shop.test. CAA 0 issue "ca.provider.test; accounturi=https://ca/acme/account/1"')


@scenario("refused", "caa-restricted", caa="named", account="https://ca/acme/account/1")
def caa_two_accounturis_permit_nobody(world):
    world.shop.add('www.shop.test. CAA 0 issue "ca.provider.test; accounturi=https://ca/acme/account/1; '
                   'accounturi=https://ca/acme/account/1"')


@scenario("ok", "proxied", caa="named")
def caa_validationmethods_lists_ours(world):
    world.shop.add('www.shop.test. CAA 0 issue "ca.provider.test; validationmethods=http-01,ca-delegation"')


@scenario("refused", "caa-restricted", caa="named")
def caa_validationmethods_lists_others(world):
    world.shop.add('www.shop.test. CAA 0 issue "ca.provider.test; validationmethods=http-01"')


@scenario("refused", "caa-restricted", caa="named")
def caa_parameters_without_form_permit_nobody(world):
    world.shop.add('www.shop.test. CAA 0 issue "ca.provider.test; %%%%"')


@scenario("failed", "caa-failed", caa="strict")
def caa_cannot_be_asked(world):
    world.hook(edit(set_rcode(dns.rcode.SERVFAIL), kinds=["CAA"]))


@scenario("refused", "caa-refused", caa="strict", names=("alias.shop.test",))
def caa_behind_an_alias(world):
    world.shop.add("alias.shop.test. CNAME edge.provider.test.")
    world.provider.add("edge.provider.test. A 203.0.113.1").add('edge.provider.test. CAA 0 issue "letsencrypt.org"')


# 7. DNSSEC


@signed("ok", "proxied", secure=True)
def dnssec_honest(world):
    pass


@signed("ok", "proxied", secure=True, algorithm="RSASHA256")
def dnssec_rsa(world):
    pass


@signed("ok", "proxied", secure=True, algorithm="ED25519")
def dnssec_ed25519(world):
    pass


@signed("ok", "proxied", secure=True, algorithm="ECDSAP384SHA384")
def dnssec_p384(world):
    pass


@signed("ok", "proxied", secure=False, shop_signed=False)
def dnssec_insecure_delegation_is_proven(world):
    pass


@signed("ok", "proxied", secure=True, names=("any.shop.test",))
def dnssec_wildcard_answer(world):
    world.shop.add("*.shop.test. A 203.0.113.8")


@signed("ok", "proxied", secure=True, names=("alias.shop.test",))
def dnssec_alias(world):
    world.shop.add("alias.shop.test. CNAME www.shop.test.")


@signed("ok", "proxied", secure=True, names=("x.old.shop.test",))
def dnssec_dname(world):
    world.shop.add("old.shop.test. DNAME new.shop.test.").add("x.new.shop.test. A 203.0.113.3")


@signed("refused", "does-not-exist", names=("nope.shop.test",))
def dnssec_absence_is_proven(world):
    pass


@signed("ok", "proxied", secure=True, names=("only4.shop.test",))
def dnssec_absence_of_a_type_is_proven(world):
    world.shop.add("only4.shop.test. A 203.0.113.5")


@signed("ok", "proxied", secure=True, names=("a.b.shop.test",))
def dnssec_empty_non_terminal(world):
    world.shop.add("a.b.shop.test. A 203.0.113.5")


@signed("ok", "proxied", caa="strict", secure=True)
def dnssec_absence_of_caa_is_proven(world):
    pass


@signed("ok", "proxied", secure=True)
def dnssec_a_record_that_stands_twice_counts_once(world):
    world.hook(edit(lambda answer, query: answer.answer.insert(0, answer.answer[0]), kinds=["A", "DNSKEY"]))


def sign_times(world, zone, inception, expiration):
    now = int(time.time())
    zone.sign_with = lambda rrset, each: each.keys.sign(rrset, each.origin, now + inception, now + expiration)


@signed("failed", "bogus")
def dnssec_expired_in_the_zone(world):
    sign_times(world, world.shop, -7200, -60)


@signed("failed", "bogus")
def dnssec_not_valid_yet(world):
    sign_times(world, world.shop, 3600, 7200)


@signed("failed", "bogus")
def dnssec_expired_at_the_parent(world):
    sign_times(world, world.tld, -7200, -60)


@signed("failed", "bogus")
def dnssec_expired_at_the_root(world):
    sign_times(world, world.root, -7200, -60)


@signed("failed", "bogus")
def dnssec_signed_by_another_key(world):
    stranger = Keys()
    world.shop.sign_with = lambda rrset, zone: stranger.sign(rrset, zone.origin)


@signed("failed", "bogus")
def dnssec_signatures_stripped(world):
    world.shop.sign_with = lambda rrset, zone: None


@signed("failed", "bogus")
def dnssec_signatures_of_addresses_stripped(world):
    world.shop.sign_with = lambda rrset, zone: None if rrset.rdtype == TYPE("A") else zone.keys.sign(rrset, zone.origin)


@signed("failed", "bogus")
def dnssec_keys_stripped(world):
    world.shop.remove("shop.test.", "DNSKEY")


@signed("failed", "bogus")
def dnssec_zone_unsigned_although_the_parent_has_ds(world):
    world.shop.keys = None
    world.shop.remove("shop.test.", "DNSKEY")


@signed("failed", "bogus")
def dnssec_ds_of_another_key(world):
    world.tld.remove("shop.test.", "DS").add(f"shop.test. DS {Keys().ds('shop.test.')}")


@signed("ok", "proxied", secure=False)
def dnssec_ds_of_an_unknown_algorithm_is_insecure(world):
    tag = world.keys["shop.test."].ds("shop.test.").split()[0]
    world.tld.remove("shop.test.", "DS").add(f"shop.test. DS {tag} 253 2 {'ab' * 32}")


@signed("ok", "proxied", secure=True)
def dnssec_one_good_ds_among_bad_ones(world):
    world.tld.add(f"shop.test. DS {Keys().ds('shop.test.')}")


@signed("failed", "bogus")
def dnssec_ds_denied_without_proof(world):
    def deny(answer, query):
        answer.answer, answer.authority = [], []

    world.hook(edit(deny, kinds=["DS"], names=["shop.test."]), 2, 3)


@signed("failed", "bogus")
def dnssec_ds_denied_by_the_childs_own_proof(world):
    def deny(answer, query):
        answer.answer, answer.authority = [], []
        answer.put(answer.authority, world.shop.nsec(name("shop.test.")), world.shop)

    world.hook(edit(deny, kinds=["DS"], names=["shop.test."]), 2, 3)


@signed("failed", "bogus")
def dnssec_ds_denied_by_a_proof_about_another_name(world):
    def deny(answer, query):
        answer.answer, answer.authority = [], []
        answer.put(answer.authority, world.tld.nsec(name("other.test.")), world.tld)

    world.hook(edit(deny, kinds=["DS"], names=["shop.test."]), 2, 3)


@signed("failed", "bogus")
def dnssec_an_address_was_changed_under_its_signature(world):
    def change(answer, query):
        for rrset in answer.answer:
            if rrset.rdtype == TYPE("A"):
                answer.answer[answer.answer.index(rrset)] = record(rrset.name.to_text(), "A", "203.0.113.99")

    world.hook(edit(change, kinds=["A"]))


@signed("failed", "bogus")
def dnssec_an_address_was_added_under_its_signature(world):
    def change(answer, query):
        answer.answer[0] = answer.answer[0].copy()
        answer.answer[0].add(dns.rdata.from_text("IN", "A", "203.0.113.99"))

    world.hook(edit(change, kinds=["A"], names=["www.shop.test."]))


@signed("failed", "bogus", names=("nope.shop.test",))
def dnssec_absence_without_proof(world):
    world.hook(edit(lambda answer, query: answer.authority.clear()))


@signed("failed", "bogus")
def dnssec_absence_of_an_existing_name_is_claimed(world):
    def deny(answer, query):
        answer.rcode, answer.answer, answer.authority = dns.rcode.NXDOMAIN, [], []
        answer.put(answer.authority, world.shop.nsec(name("www.shop.test.")), world.shop)

    world.hook(edit(deny, kinds=["A", "AAAA"]))


@signed("failed", "bogus")
def dnssec_absence_of_caa_is_forged(world):
    world.shop.add('www.shop.test. CAA 0 issue "letsencrypt.org"')

    def deny(answer, query):
        answer.answer, answer.authority = [], []

    world.hook(edit(deny, kinds=["CAA"]))


SCENARIOS[-1].values[4].update(caa="strict")


@signed("failed", "bogus", names=("made.shop.test",))
def dnssec_wildcard_answer_for_a_name_that_exists(world):
    """The name exists with a gray address; the attacker answers with the wildcard's and its true signature."""
    world.shop.add("*.shop.test. A 203.0.113.8").add("made.shop.test. A 192.0.2.1")

    def expand(answer, query):
        source = world.shop.get(name("*.shop.test."), TYPE("A"))
        made = dns.rrset.from_rdata(query.question[0].name, 60, *list(source))
        answer.answer, answer.authority = [], []
        answer.put(answer.answer, made, world.shop, world.shop.signature(source))

    world.hook(edit(expand, kinds=["A"], names=["made.shop.test."]))


@signed("failed", "bogus")
def dnssec_a_forged_delegation_to_our_servers_meets_its_ds(world):
    """The attacker forges the parent's referral to the pair that was assigned to him, where his own zone lies."""
    stranger = Zone("shop.test.", """shop.test. NS ns1.provider.test.
        shop.test. NS ns2.provider.test.
        www.shop.test. A 203.0.113.10""")
    for server in (world.ns1, world.ns2):
        server.zones = [world.provider, stranger]


@signed("failed", "bogus")
def dnssec_wrong_trust_anchor(world):
    pass


SCENARIOS[-1].values[4].update(anchor=". IN DS 12345 13 2 " + "cd" * 32 + "\n")


@signed("failed", "bogus")
def dnssec_too_many_keys(world):
    for _ in range(30):
        world.shop.add(f"shop.test. DNSKEY {Keys().dnskey.to_text()}")


@signed("failed", "*")
def dnssec_many_wrong_signatures_end_within_the_budget(world):
    strangers = [Keys() for _ in range(10)]
    for each in strangers:
        world.shop.add(f"shop.test. DNSKEY {each.dnskey.to_text()}")

    def stuff(answer, query):
        for rrset in [each for each in answer.answer if each.rdtype != TYPE("RRSIG")]:
            answer.answer = [each for each in answer.answer if each.rdtype != TYPE("RRSIG")]
            for each in strangers * 3:
                made = each.sign(record("x.shop.test.", "A", "192.0.2.1"), name("shop.test."))
                made = made.replace(type_covered=rrset.rdtype)
                answer.answer.append(dns.rrset.from_rdata(rrset.name, 60, made))

    world.hook(edit(stuff, kinds=["A", "AAAA", "NS"]))


# 8. Cuts that are not there, and zones below zones


def refer(origin, *servers):
    """An unsigned referral, as somebody on the path would forge it."""

    def change(answer, query):
        answer.rcode, answer.is_authoritative, answer.answer, answer.additional = dns.rcode.NOERROR, False, [], []
        answer.authority = [record(origin, "NS", *servers)]

    return edit(change, kinds=["NS"], names=[origin])


@scenario("refused", "not-delegated", says="shop.test answers for it", **DEEP)
def a_zone_below_anothers_on_his_servers_is_not_delegated_by_being_there(world):
    below(world, 11, 12)


@scenario("refused", "not-delegated", zone="kid.deep.shop.test", names=("www.kid.deep.shop.test",))
def a_zone_two_below_anothers_is_not_delegated_by_its_parent_being_there(world):
    deep = below(world, 11, 12)
    for server in OUR_PAIR:
        deep.add(f"kid.deep.shop.test. NS {server}")
    below(world, 11, 12, origin="kid.deep.shop.test.")


@scenario("refused", "not-delegated", **DEEP)
def a_zone_below_anothers_where_he_has_a_wildcard_alias(world):
    world.shop.add("*.shop.test. CNAME www.shop.test.")
    below(world, 11, 12)


@scenario("refused", "not-delegated", **DEEP)
def a_zone_below_anothers_that_answers_in_the_parents_place(world):
    world.shop.add('deep.shop.test. TXT "not a delegation"')
    deep = below(world, 11, 12)

    def answer_itself(answer, query):
        answer.rcode, answer.authority = dns.rcode.NOERROR, [deep.get(deep.origin, TYPE("SOA"))]

    world.hook(edit(answer_itself, kinds=["DS"]))


@signed("refused", "not-delegated", **DEEP)
def dnssec_a_zone_below_anothers_on_his_servers_is_not_delegated_by_being_there(world):
    below(world, 11, 12)


@signed("refused", "not-delegated", **DEEP)
def dnssec_a_zone_below_anothers_at_a_name_that_has_other_records(world):
    world.shop.add('deep.shop.test. TXT "not a delegation"')
    below(world, 11, 12)


@signed("failed", "bogus", says="no delegation", zone="ghost.test", names=("www.ghost.test",))
def dnssec_a_forged_delegation_of_a_name_that_is_proven_absent(world):
    world.hook(refer("ghost.test.", *OUR_PAIR), 2, 3)
    below(world, 11, 12, origin="ghost.test.")


@signed("failed", "bogus", says="no delegation", zone="plain.test", names=("www.plain.test",))
def dnssec_a_forged_delegation_of_a_name_that_is_no_cut(world):
    world.tld.add("plain.test. A 203.0.113.9")
    world.hook(refer("plain.test.", *OUR_PAIR), 2, 3)
    below(world, 11, 12, origin="plain.test.")


@signed("failed", "bogus", says="no delegation", zone="ghost.test", names=("www.ghost.test",))
def dnssec_a_forged_delegation_below_a_wildcard(world):
    world.tld.add('*.test. TXT "anything"')
    world.hook(refer("ghost.test.", *OUR_PAIR), 2, 3)
    below(world, 11, 12, origin="ghost.test.")


@signed("failed", "bogus", says="no delegation", zone="ent.test", names=("www.ent.test",))
def dnssec_a_forged_delegation_of_an_empty_non_terminal(world):
    world.tld.add('x.ent.test. TXT "anything"')
    world.hook(refer("ent.test.", *OUR_PAIR), 2, 3)
    below(world, 11, 12, origin="ent.test.")


@signed("failed", "bogus", names=("alias.shop.test",))
def dnssec_a_forged_cut_at_the_target_of_an_alias(world):
    world.shop.add("alias.shop.test. CNAME edge.provider.test.")
    world.provider.add("edge.provider.test. A 192.0.2.1")
    world.hook(refer("edge.provider.test.", "ns1.foreign.test."))
    world.at(21)[0].zones.append(Zone("edge.provider.test.", "edge.provider.test. A 203.0.113.9"))


@signed("ok", "proxied", secure=True, names=("alias.shop.test",))
def dnssec_an_alias_into_a_signed_zone_below_on_the_same_servers(world):
    keys = Keys()
    for server in OUR_PAIR:
        world.shop.add(f"deep.shop.test. NS {server}")
    world.shop.add(f"deep.shop.test. DS {keys.ds('deep.shop.test.')}").add("alias.shop.test. CNAME www.deep.shop.test.")
    deep = below(world, 11, 12, keys=keys)
    world.hook(edit(lambda answer, query: answer.put(answer.answer, deep.get(name("www.deep.shop.test."), TYPE("A")), deep),
                    kinds=["A"], names=["alias.shop.test."]))


@signed("ok", "proxied", secure=False, names=("alias.shop.test",))
def dnssec_an_alias_into_an_unsigned_zone_below_on_the_same_servers(world):
    for server in OUR_PAIR:
        world.shop.add(f"deep.shop.test. NS {server}")
    world.shop.add("alias.shop.test. CNAME www.deep.shop.test.")
    deep = below(world, 11, 12)
    world.hook(edit(lambda answer, query: answer.answer.append(deep.get(name("www.deep.shop.test."), TYPE("A"))),
                    kinds=["A"], names=["alias.shop.test."]))


@scenario("refused", "gray", names=("alias.shop.test",))
def an_alias_into_a_zone_below_is_asked_for_where_that_is_delegated(world):
    """What the provider's server adds to its answer is the zone below's to say."""
    world.shop.add("deep.shop.test. NS ns1.foreign.test.").add("alias.shop.test. CNAME www.deep.shop.test.")
    below(world, 21, address="192.0.2.1")
    world.hook(edit(lambda answer, query: answer.answer.append(record("www.deep.shop.test.", "A", "203.0.113.9")),
                    kinds=["A"], names=["alias.shop.test."]))


@scenario("ok", "proxied", names=("alias.shop.test",))
def an_alias_into_a_zone_below_that_is_elsewhere(world):
    world.shop.add("deep.shop.test. NS ns1.foreign.test.").add("alias.shop.test. CNAME www.deep.shop.test.")
    below(world, 21)


@scenario("refused", "caa-refused", names=("alias.shop.test",), caa="strict")
def caa_behind_an_alias_into_a_zone_below(world):
    world.shop.add("deep.shop.test. NS ns1.foreign.test.").add("alias.shop.test. CNAME www.deep.shop.test.")
    below(world, 21).add('www.deep.shop.test. CAA 0 issue "letsencrypt.org"')


@signed("failed", "bogus", names=("a.b.shop.test",))
def dnssec_a_wildcard_answer_although_a_closer_name_is_there(world):
    """Nothing is at a.b.shop.test, and no wildcard above b.shop.test can make it (RFC 4592 3.3.1)."""
    world.shop.add("*.shop.test. A 203.0.113.8").add('b.shop.test. TXT "here"')

    def expand(answer, query):
        source = world.shop.get(name("*.shop.test."), TYPE("A"))
        answer.rcode, answer.answer, answer.authority = dns.rcode.NOERROR, [], []
        answer.put(answer.answer, dns.rrset.from_rdata(query.question[0].name, 60, *list(source)), world.shop,
                   world.shop.signature(source))
        answer.put(answer.authority, world.shop.nsec_for(query.question[0].name), world.shop)

    def alias(answer, query):
        answer.rcode, answer.answer, answer.authority = dns.rcode.NOERROR, [], []
        answer.answer.append(record("a.b.shop.test.", "CNAME", "www.shop.test."))

    world.hook(edit(expand, kinds=["A"], names=["a.b.shop.test."]))
    world.hook(edit(alias, kinds=["NS"], names=["a.b.shop.test."]))


@scenario("ok", "proxied", names=tuple(f"n{at}.shop.test" for at in range(20)), caa="strict", timeout_ms=1000)
def twenty_names_behind_one_chain_of_aliases_are_within_the_budget(world):
    world.shop.add("*.shop.test. CNAME a1.shop.test.")
    for at in range(1, 5):
        world.shop.add(f"a{at}.shop.test. CNAME a{at + 1}.shop.test.")
    world.shop.add("a5.shop.test. A 203.0.113.3")


# 9. Odd names, odd records, other shapes


@scenario("refused", "delegated-elsewhere")
def a_name_server_with_a_dot_inside_a_label(world):
    world.tld.remove("shop.test.", "NS").add(r"shop.test. NS ns1\.provider.test.")


@scenario("refused", "partly-delegated")
def a_name_server_with_a_dot_inside_a_label_beside_ours(world):
    world.tld.add(r"shop.test. NS ns2\.provider.test.")


@scenario("refused", "foreign-in-zone")
def the_zone_names_a_name_server_with_a_dot_inside_a_label(world):
    world.shop.add(r"shop.test. NS ns1\.provider.test.")


@scenario("refused", "partly-delegated")
def a_name_server_with_an_escaped_letter_and_a_backslash(world):
    world.tld.add(r"shop.test. NS \\ns1.provider.test.").add(r"shop.test. NS ns1.provider.test\000.")


@scenario("failed", "lookup-failed", says="no host has", names=("alias.shop.test",))
def an_alias_to_a_name_with_a_dot_inside_a_label(world):
    """It is one label below test., not www.shop.test."""
    world.shop.add(r"alias.shop.test. CNAME www\.shop.test.")


@scenario("failed", "lookup-failed", says="no host has", names=("alias.shop.test",))
def an_alias_to_a_name_with_a_dot_in_a_label_and_its_address_beside(world):
    """The forged part of the answer is about a name of test., for which shop.test's server does not speak."""
    world.shop.add(r"alias.shop.test. CNAME www\.shop.test.")
    world.hook(edit(lambda answer, query: answer.answer.append(record(r"www\.shop.test.", "A", "203.0.113.9")),
                    kinds=["A", "AAAA"], names=["alias.shop.test."]))


@scenario("failed", "lookup-failed", says="no host has", names=("alias.shop.test",))
def an_alias_to_a_name_with_a_backslash(world):
    world.shop.add(r"alias.shop.test. CNAME www\\.shop.test.")


@scenario("failed", "lookup-failed", says="no host has", names=("x.old.shop.test",))
def a_dname_to_a_name_with_a_dot_inside_a_label(world):
    world.shop.add(r"old.shop.test. DNAME new\.shop.test.")


@scenario("failed", "walk-failed")
def the_parent_denies_without_authority(world):
    def deny(answer, query):
        answer.rcode, answer.is_authoritative, answer.answer, answer.authority = dns.rcode.NXDOMAIN, False, [], []

    world.hook(edit(deny, names=["shop.test."]), 2, 3)


@scenario("refused", "does-not-exist", names=("*.shop.test",))
def a_wildcard_that_is_an_alias_to_nothing(world):
    """DNS has a wildcard, so it is what counts, and not the base."""
    world.shop.add("*.shop.test. CNAME gone.foreign.test.")


@scenario("failed", "lookup-failed", says="malformed")
def a_hundred_transaction_signatures_that_nobody_asked_for(world):
    """ldns loses the memory of all but the last; the sanitizers would tell."""
    one = b"\0" + struct.pack(">HHIH", 250, 255, 0, 17) + b"\0" + bytes(16)
    world.hook(reply(lambda honest, wire: [honest[:10] + struct.pack(">H", honest[11] + 100) + honest[12:] + one * 100],
                     kinds=["A", "AAAA"]))


@scenario("failed", "caa-failed", caa="strict")
def caa_that_has_no_form_is_not_absent(world):
    shapeless = dns.rdata.GenericRdata(dns.rdataclass.IN, TYPE("CAA"), b"\0\0letsencrypt.org")

    def change(answer, query):
        answer.answer = [dns.rrset.from_rdata("www.shop.test.", 60, shapeless)]
        answer.authority = []

    world.hook(edit(change, kinds=["CAA"], names=["www.shop.test."]))


@scenario("failed", "no-address", says="more name servers")
def an_ns_bomb_out_of_the_referral_cache_ends_without_filling_the_memory(world):
    """Once the referrals are known no query is needed to go on: 15 to the power of the depth."""
    an_ns_bomb_ends_within_the_budget(world)


@scenario("ok", "proxied", servers=",".join(f"ns{at}.provider.test" for at in range(1, 14)))
def thirteen_name_servers(world):
    for at in range(1, 14):
        world.provider.remove(f"ns{at}.provider.test.")
        for zone in (world.tld, world.provider):
            zone.remove(f"ns{at}.provider.test.").add(f"ns{at}.provider.test. A 127.66.0.{11 + at % 2}")
        for zone, owner in ((world.tld, "shop.test."), (world.shop, "shop.test.")):
            zone.add(f"{owner} NS ns{at}.provider.test.")


@signed("ok", "proxied", secure=False)
def dnssec_ds_of_an_unknown_digest_is_insecure(world):
    tag = world.keys["shop.test."].ds("shop.test.").split()[0]
    world.tld.remove("shop.test.", "DS").add(f"shop.test. DS {tag} 13 99 {'ab' * 32}")


@signed("ok", "proxied", secure=True)
def dnssec_an_algorithm_is_rolled_over(world):
    """Both algorithms sign, the parent names both keys, and the old one's signatures are a day old."""
    old, new = Keys("RSASHA256"), world.keys["shop.test."]
    world.shop.add(f"shop.test. DNSKEY {old.dnskey.to_text()}")
    world.tld.add(f"shop.test. DS {old.ds('shop.test.')}")

    def both(answer, query):
        for rrset in [each for each in answer.answer if each.rdtype != TYPE("RRSIG")]:
            stale = old.sign(rrset, world.shop.origin, int(time.time()) - 90000, int(time.time()) - 3600)
            answer.answer.insert(0, dns.rrset.from_rdata(rrset.name, 60, stale))

    world.hook(edit(both, names=["shop.test.", "www.shop.test."], kinds=["A", "AAAA", "NS", "DNSKEY"]))
    assert new is not old


@signed("failed", "no-address")
def dnssec_a_name_server_that_no_host_can_be_called(world):
    world.tld.remove("provider.test.", "NS").remove("ns1.provider.test.").remove("ns2.provider.test.")
    world.tld.add(r"provider.test. NS ns\.provider.test.")


def costly_rsa():
    """An RSA key whose public exponent is as long as OpenSSL takes it: to verify costs what to sign costs."""
    private = rsa.generate_private_key(65537, 2048).private_numbers()
    phi, e = (private.p - 1) * (private.q - 1), (1 << 80) + 1
    while math.gcd(e, phi) != 1:
        e += 2
    d = pow(e, -1, phi)
    return rsa.RSAPrivateNumbers(private.p, private.q, d, d % (private.p - 1), d % (private.q - 1), private.iqmp,
                                 rsa.RSAPublicNumbers(e, private.public_numbers.n)).private_key()


@signed("failed", "bogus", algorithm="RSASHA256")
def dnssec_keys_that_are_costly_to_verify_with_are_no_keys(world):
    keys = world.keys["shop.test."]
    keys.private = costly_rsa()
    keys.dnskey = dns.dnssec.make_dnskey(keys.private.public_key(), "RSASHA256", flags=257)
    world.shop.remove("shop.test.", "DNSKEY").add(f"shop.test. DNSKEY {keys.dnskey.to_text()}")
    world.tld.remove("shop.test.", "DS").add(f"shop.test. DS {keys.ds('shop.test.')}")


@signed("failed", "bogus", says="more signatures than a check verifies", names=("only4.shop.test",))
def dnssec_many_wrong_proofs_end_within_the_budget(world):
    world.shop.add("only4.shop.test. A 203.0.113.5")

    def stuff(answer, query):
        made = world.shop.signature(world.shop.nsec(name("www.shop.test.")))
        answer.authority = []
        for at in range(25):
            answer.authority.append(record(f"n{at}.shop.test.", "NSEC", "o.shop.test. A"))
            answer.authority.append(dns.rrset.from_rdata(f"n{at}.shop.test.", 60, made))

    world.hook(edit(stuff, kinds=["AAAA"]))


# 10. What the owner of a zone may sign, and still proves nothing


def denies(world, denied, *proofs):
    """NXDOMAIN for a name of shop.test, with these proofs, which shop.test signs."""

    def deny(answer, query):
        answer.rcode, answer.answer, answer.authority = dns.rcode.NXDOMAIN, [], []
        for proof in proofs:
            answer.put(answer.authority, proof, world.shop)

    world.hook(edit(deny, names=[denied]))


def nsec3(about, kinds="", flags=0, distance=0, zone="shop.test."):
    """The NSEC3 of a name, or the one that begins at that distance before its hash and covers it."""
    hashed = int.from_bytes(base64.b32hexdecode(dns.dnssec.nsec3_hash(about, None, 0, 1)), "big")
    first, last = (base64.b32hexencode((hashed + at).to_bytes(20, "big")).decode() for at in (-distance, 1))
    return record(f"{first}.{zone}", "NSEC3", f"1 {flags} 0 - {last} {kinds}")


ENCLOSER, ABSENT, STAR = nsec3("shop.test.", "NS SOA"), "nope.shop.test.", nsec3("*.shop.test.", distance=1)
NOPE = {"names": ("nope.shop.test",)}


def opt_out_proof(world, answer, zone):
    """Nothing signed is at that name of shop.test; a delegation without keys may be."""
    for proof in (ENCLOSER, nsec3(zone, distance=1, flags=1)):
        answer.put(answer.authority, proof, world.shop)


def add_opt_out(world, zone="deep.shop.test."):
    def prove(answer, query):
        answer.rcode, answer.is_authoritative, answer.answer, answer.authority = dns.rcode.NOERROR, True, [], []
        opt_out_proof(world, answer, zone)

    def refer(answer, query):
        if not answer.is_authoritative:
            answer.authority = [each for each in answer.authority if each.rdtype == TYPE("NS")]
            opt_out_proof(world, answer, zone)

    world.hook(edit(prove, kinds=["DS"], names=[zone]))
    world.hook(edit(refer, kinds=["NS", "A", "AAAA"]))


@signed("failed", "hidden", pool=POOL, **DEEP)
def dnssec_a_span_of_opt_out_over_a_zone_that_nobody_delegated(world):
    add_deep(world, 11, 12, is_delegated=False)
    world.shop.remove("deep.shop.test.")
    add_opt_out(world)


@signed("refused", "*", pool=POOL, **DEEP)
def dnssec_a_span_of_opt_out_over_a_zone_that_one_of_the_servers_has(world):
    add_deep(world, 12, is_delegated=False)
    add_opt_out(world)


@signed("ok", "proxied", secure=False, servers="ns3.provider.test", pool=POOL, **DEEP)
def dnssec_a_delegation_in_a_span_of_opt_out_that_only_a_referral_shows(world):
    """The other server has the zone as well, and answers from it."""
    add_deep(world, 12, 13, name_servers=("ns3.provider.test.",))
    add_opt_out(world)


@signed("ok", "proxied", secure=False, own=OWN, **DEEP)
def dnssec_a_zone_below_ones_own_in_a_span_of_opt_out(world):
    add_deep(world, 11, 12)
    add_opt_out(world)



@signed("refused", "does-not-exist", **NOPE)
def dnssec_absence_is_proven_by_nsec3(world):
    denies(world, ABSENT, ENCLOSER, nsec3(ABSENT, distance=1), STAR)


@signed("failed", "bogus", says="about the wildcard", **NOPE)
def dnssec_nsec3_with_opt_out_says_nothing_of_the_wildcard(world):
    denies(world, ABSENT, ENCLOSER, nsec3(ABSENT, distance=1, flags=1))


@signed("refused", "does-not-exist", **NOPE)
def dnssec_absence_is_proven_by_nsec3_with_opt_out(world):
    denies(world, ABSENT, ENCLOSER, nsec3(ABSENT, distance=1, flags=1), STAR)


@signed("failed", "bogus", says="about the name", **NOPE)
def dnssec_nsec3_with_unknown_flags(world):
    denies(world, ABSENT, ENCLOSER, nsec3(ABSENT, distance=1, flags=2), STAR)


@signed("failed", "bogus", says="about the name", **NOPE)
def dnssec_nsec3_that_lies_deeper_than_below_the_apex(world):
    """From the last hash to the first: beside the zone's own chain everything would lie in between."""
    denies(world, ABSENT, ENCLOSER, record(f"{'v' * 32}.deep.shop.test.", "NSEC3", f"1 0 0 - {'0' * 32}"), STAR)


@signed("failed", "bogus", says="about the name", names=("zz.shop.test",))
def dnssec_nsec_that_ends_the_chain_but_not_at_the_apex(world):
    denies(world, "zz.shop.test.", record("www.shop.test.", "NSEC", "a.shop.test. A RRSIG NSEC"))


@signed("failed", "bogus", says="more labels")
def dnssec_a_signature_about_more_labels_than_the_name_has(world):
    def sign(rrset, zone):
        made = zone.keys.sign(rrset, zone.origin)
        data = bytearray(dns.dnssec._make_rrsig_signature_data(rrset, made))
        data[3] += 1
        return made.replace(labels=made.labels + 1, signature=zone.keys.sign_bytes(bytes(data)))

    world.shop.sign_with = sign


@signed("failed", "bogus", says="ends before it begins")
def dnssec_a_signature_of_more_than_half_the_circle_of_time(world):
    now = int(time.time())
    world.shop.sign_with = lambda rrset, zone: zone.keys.sign(rrset, zone.origin, now + 2**31 - 100, now + 3600)


@signed("ok", "proxied", secure=True)
def dnssec_a_signature_across_the_year_2038(world):
    now = int(time.time())
    world.shop.sign_with = lambda rrset, zone: zone.keys.sign(rrset, zone.origin, now - 3600, now + 2**31 - 4000)


def sha1_ds(world):
    key = world.keys["shop.test."].dnskey
    digest = hashlib.sha1(name("shop.test.").to_wire() + key.to_wire()).hexdigest()
    return f"shop.test. DS {dns.dnssec.key_id(key)} 13 1 {digest}"


@signed("ok", "proxied", secure=True)
def dnssec_ds_by_sha1_alone(world):
    world.tld.remove("shop.test.", "DS").add(sha1_ds(world))


@signed("failed", "bogus", says="the one its parent names")
def dnssec_ds_by_sha1_beside_a_better_one_of_another_key(world):
    world.tld.remove("shop.test.", "DS").add(sha1_ds(world)).add(f"shop.test. DS {Keys().ds('shop.test.')}")


@signed("failed", "bogus", says="more keys than a check looks at")
def dnssec_too_many_ds(world):
    tag = world.keys["shop.test."].ds("shop.test.").split()[0]
    for at in range(25):
        world.tld.add(f"shop.test. DS {tag} 13 2 {at:064x}")


@signed("failed", "bogus")
def dnssec_a_forged_alias_at_the_parent(world):
    def forge(answer, query):
        answer.answer, answer.authority, answer.is_authoritative = [record("shop.test.", "CNAME", "other.test.")], [], True

    world.hook(edit(forge, names=["shop.test."], kinds=["NS"]), 2, 3)


@signed("refused", "not-delegated")
def dnssec_an_alias_at_the_parent(world):
    world.tld.remove("shop.test.", "NS").remove("shop.test.", "DS").add("shop.test. CNAME other.test.")


@signed("failed", "bogus")
def dnssec_forged_name_servers_in_the_zone(world):
    def forge(answer, query):
        answer.answer = [record("shop.test.", "NS", "ns1.foreign.test.")]

    world.hook(edit(forge, names=["shop.test."], kinds=["NS"]))


@signed("failed", "bogus")
def dnssec_absence_of_name_servers_in_the_zone_without_proof(world):
    world.hook(edit(lambda answer, query: answer.answer.clear(), names=["shop.test."], kinds=["NS"]))


@signed("refused", "lame")
def dnssec_absence_of_name_servers_in_the_zone_is_proven(world):
    world.shop.remove("shop.test.", "NS")


@signed("refused", "foreign-in-zone")
def dnssec_signed_name_servers_of_others_in_the_zone(world):
    world.shop.add("shop.test. NS ns1.foreign.test.")


# 11. Aliases that do not stand alone (RFC 1034 3.6.2, RFC 6672 2.4)


def also(owner, *records, kinds=("A", "AAAA")):
    """A hook: answers about the owner hold these records too."""
    return edit(lambda answer, query: answer.answer.extend(record(*each) for each in records), kinds=kinds, names=[owner])


ALIAS = {"names": ("alias.shop.test",)}


def add_alias(world, target="edge.provider.test."):
    world.shop.add(f"alias.shop.test. CNAME {target}")
    world.provider.add("edge.provider.test. A 203.0.113.1")
    world.foreign.add("gray.foreign.test. A 192.0.2.1")


@scenario("refused", "bad-alias", says="two CNAME records at alias.shop.test", **ALIAS)
def two_aliases_at_one_name(world):
    add_alias(world)
    world.hook(also("alias.shop.test.", ("alias.shop.test.", "CNAME", "gray.foreign.test.")))


@scenario("refused", "bad-alias", **ALIAS)
def two_aliases_to_the_edge_at_one_name(world):
    add_alias(world)
    world.hook(also("alias.shop.test.", ("alias.shop.test.", "CNAME", "www.shop.test.")))


@scenario("ok", "proxied", **ALIAS)
def an_alias_that_stands_twice_counts_once(world):
    add_alias(world)
    world.hook(also("alias.shop.test.", ("alias.shop.test.", "CNAME", "edge.provider.test.")))


@scenario("refused", "bad-alias", **ALIAS)
def two_aliases_at_the_second_name_of_a_chain(world):
    add_alias(world, "second.shop.test.")
    world.shop.add("second.shop.test. CNAME edge.provider.test.")
    world.hook(also("alias.shop.test.", ("second.shop.test.", "CNAME", "gray.foreign.test.")))


@scenario("refused", "bad-alias", says="two CNAME records at second.foreign.test", **ALIAS)
def two_aliases_in_a_zone_on_the_way(world):
    add_alias(world, "second.foreign.test.")
    world.foreign.add("second.foreign.test. CNAME edge.provider.test.")
    world.hook(also("second.foreign.test.", ("second.foreign.test.", "CNAME", "gray.foreign.test.")), 21)


@scenario("refused", "bad-alias", says="A records beside the CNAME of alias.shop.test", **ALIAS)
def an_address_beside_an_alias(world):
    add_alias(world)
    world.hook(also("alias.shop.test.", ("alias.shop.test.", "A", "203.0.113.9")))


@scenario("refused", "bad-alias", **ALIAS)
def an_address_for_one_question_and_an_alias_for_the_other(world):
    add_alias(world)
    world.shop.add("alias.shop.test. A 203.0.113.9")


@scenario("refused", "bad-alias", **ALIAS)
def an_ipv6_address_for_one_question_and_an_alias_for_the_other(world):
    add_alias(world)
    world.shop.add("alias.shop.test. AAAA 2001:db8:ed9e::9")


@scenario("refused", "bad-alias", **ALIAS)
def a_text_beside_an_alias(world):
    add_alias(world)
    world.hook(also("alias.shop.test.", ("alias.shop.test.", "TXT", '"anything"')))


@scenario("refused", "bad-alias", caa="strict", **ALIAS)
def caa_beside_an_alias(world):
    add_alias(world)
    world.shop.add('alias.shop.test. CAA 0 issue "ca.provider.test"')


@scenario("refused", "bad-alias", caa="strict")
def two_aliases_where_caa_is_asked_for(world):
    world.hook(also("www.shop.test.", ("www.shop.test.", "CNAME", "a.foreign.test."),
                    ("www.shop.test.", "CNAME", "b.foreign.test."), kinds=["CAA"]))


@scenario("refused", "bad-alias", says="the zone's own name", names=("shop.test",))
def an_alias_at_the_zones_own_name(world):
    add_alias(world)
    world.shop.remove("shop.test.", "A").add("shop.test. CNAME edge.provider.test.")


@scenario("refused", "bad-alias", says="the zone's own name")
def an_alias_at_the_zones_own_name_where_its_name_servers_are_asked_for(world):
    world.hook(edit(lambda answer, query: answer.answer.append(record("shop.test.", "CNAME", "edge.provider.test.")),
                    kinds=["NS"], names=["shop.test."]))


@scenario("refused", "bad-alias", says="two DNAME records at old.shop.test", names=("www.old.shop.test",))
def two_dnames_at_one_name(world):
    world.shop.add("old.shop.test. DNAME shop.test.")
    world.hook(also("www.old.shop.test.", ("old.shop.test.", "DNAME", "foreign.test.")))


@scenario("refused", "bad-alias", says="CNAME records beside the DNAME of old.shop.test", names=("www.old.shop.test",))
def an_alias_beside_a_dname(world):
    world.shop.add("old.shop.test. DNAME shop.test.")
    world.hook(also("www.old.shop.test.", ("old.shop.test.", "CNAME", "edge.provider.test.")))


@scenario("refused", "bad-alias", says="below the DNAME of old.shop.test", names=("www.old.shop.test",))
def an_address_below_a_dname(world):
    world.shop.add("old.shop.test. DNAME shop.test.")
    world.hook(also("www.old.shop.test.", ("www.old.shop.test.", "A", "203.0.113.9")))


@scenario("refused", "bad-alias", names=("www.old.shop.test",))
def an_alias_that_is_not_what_the_dname_makes(world):
    world.shop.add("old.shop.test. DNAME shop.test.")
    world.hook(also("www.old.shop.test.", ("www.old.shop.test.", "CNAME", "gray.foreign.test.")))


@scenario("refused", "bad-alias", txt="token-value")
def two_aliases_at_the_text(world):
    owner = "_acme-challenge.www.shop.test."
    world.shop.add(f"{owner} CNAME acme.foreign.test.")
    world.foreign.add('acme.foreign.test. TXT "token-value"')
    world.hook(also(owner, (owner, "CNAME", "other.foreign.test."), kinds=["TXT"]))


@scenario("failed", "no-address", says="two CNAME records", servers="ns7.foreign.test")
def two_aliases_at_the_name_of_a_name_server(world):
    world.tld.remove("shop.test.", "NS").add("shop.test. NS ns7.foreign.test.")
    world.foreign.add("ns7.foreign.test. CNAME ns1.provider.test.")
    world.hook(also("ns7.foreign.test.", ("ns7.foreign.test.", "CNAME", "ns2.provider.test.")), 21)


@signed("failed", "bogus", **ALIAS)
def dnssec_a_second_alias_that_somebody_on_the_way_adds(world):
    add_alias(world)
    world.hook(also("alias.shop.test.", ("alias.shop.test.", "CNAME", "gray.foreign.test.")))


@signed("failed", "bogus", **ALIAS)
def dnssec_an_address_that_somebody_on_the_way_puts_beside_an_alias(world):
    add_alias(world)
    world.hook(also("alias.shop.test.", ("alias.shop.test.", "A", "203.0.113.9")))


# 12. Name servers of one zone that do not agree


def apart(world):
    """ns2 has a copy of shop.test that a scenario changes."""
    copy = Zone("shop.test.", keys=world.shop.keys)
    copy.sets = {key: rrset.copy() for key, rrset in world.shop.sets.items()}
    world.ns2.zones = [world.provider, copy]
    return copy


@scenario("failed", "disagree", says="ns2.provider.test: points to 192.0.2.1")
def one_name_server_says_gray(world):
    apart(world).remove("www.shop.test.", "A").add("www.shop.test. A 192.0.2.1")


@scenario("failed", "disagree", says="ns2.provider.test: points to 2001:db8:bad::1")
def one_name_server_says_gray_for_ipv6(world):
    apart(world).remove("www.shop.test.", "AAAA").add("www.shop.test. AAAA 2001:db8:bad::1")


@scenario("failed", "disagree", says="ns2.provider.test: has no address")
def one_name_server_has_no_address(world):
    apart(world).remove("www.shop.test.").add('www.shop.test. TXT "new"')


@scenario("ok", "proxied")
def name_servers_with_different_addresses_of_the_edge(world):
    apart(world).remove("www.shop.test.").add("www.shop.test. A 203.0.113.77")


@scenario("refused", "gray")
def name_servers_that_both_say_no_each_in_its_way(world):
    apart(world).remove("www.shop.test.").add('www.shop.test. TXT "new"')
    world.shop.remove("www.shop.test.").add("www.shop.test. A 192.0.2.1")


@scenario("failed", "lookup-failed", says="SERVFAIL from ns2.provider.test, a name server of shop.test")
def one_name_server_cannot_say_the_address(world):
    world.ns2.hooks.append(edit(set_rcode(dns.rcode.SERVFAIL), kinds=["A"]))


@scenario("failed", "lookup-failed", says="ns2.provider.test, a name server of shop.test (no answer over UDP; over TCP: timeout)")
def one_name_server_is_silent_about_the_address(world):
    world.ns2.hooks.append(lambda query, wire, transport, server: [] if query.question[0].rdtype == TYPE("A") else None)
    world.shop.remove("www.shop.test.").add("www.shop.test. A 192.0.2.1")


@scenario("failed", "disagree", names=("*.shop.test",))
def one_name_server_has_the_dns_wildcard(world):
    world.shop.add('www.shop.test. TXT "no wildcard"')
    apart(world).add("*.shop.test. A 203.0.113.9")


@scenario("failed", "disagree", names=("*.shop.test",))
def one_name_servers_dns_wildcard_is_gray(world):
    world.shop.add("*.shop.test. A 203.0.113.9")
    apart(world).remove("*.shop.test.").add("*.shop.test. A 192.0.2.1")


@scenario("failed", "disagree", **ALIAS)
def name_servers_that_do_not_agree_about_the_last_alias_of_a_chain(world):
    world.shop.add("alias.shop.test. CNAME a.shop.test.").add("a.shop.test. CNAME b.shop.test.").add("b.shop.test. A 203.0.113.3")
    apart(world).remove("b.shop.test.").add("b.shop.test. A 192.0.2.1")


@scenario("failed", "disagree", **ALIAS)
def name_servers_that_do_not_agree_about_what_an_alias_comes_back_to(world):
    world.shop.add("alias.shop.test. CNAME away.foreign.test.").add("b.shop.test. A 203.0.113.3")
    world.foreign.add("away.foreign.test. CNAME b.shop.test.")
    apart(world).remove("b.shop.test.").add("b.shop.test. A 192.0.2.1")


@scenario("failed", "disagree", txt="token-value", says="ns2.provider.test: not there")
def one_name_server_has_the_text(world):
    copy = apart(world)
    world.shop.add('_acme-challenge.www.shop.test. TXT "token-value"')
    copy.add('y._acme-challenge.www.shop.test. TXT "there are names below"')


@scenario("failed", "disagree", txt="token-value")
def a_zone_of_another_customers_on_one_name_server_has_the_text(world):
    world.shop.add('_acme-challenge.www.shop.test. TXT "the owners"')
    below(world, 12, origin="_acme-challenge.www.shop.test.").add('_acme-challenge.www.shop.test. TXT "token-value"')


@pytest.mark.parametrize("at", [11, 12])
@pytest.mark.parametrize("asked", ["www.shop.test", "*.shop.test"])
def test_a_name_that_one_of_the_servers_denies_is_no_definite_no(farm, tmp_path, at, asked):
    """Which server is asked for a cut first is chance; whoever denies the name, the others are asked for it too."""
    for _ in range(3):
        world = World()
        if asked == "*.shop.test":
            world.shop.add("*.shop.test. A 203.0.113.9")
        copy = apart(world)
        denying = copy if at == 12 else world.shop
        denying.remove("www.shop.test.").remove("*.shop.test.")
        verdict, reason, found = check(farm, world, tmp_path, names=(asked,))
        assert (verdict, reason) == ("failed", "disagree"), found


def test_each_name_server_is_asked_once_for_each_family_and_a_target_elsewhere_once_for_all(farm, tmp_path):
    world = World()
    world.shop.add("alias.shop.test. CNAME edge.foreign.test.").add("alias2.shop.test. CNAME edge.foreign.test.")
    world.foreign.add("edge.foreign.test. A 203.0.113.1")
    verdict, _, found = check(farm, world, tmp_path, names=("www.shop.test", "alias.shop.test", "alias2.shop.test"),
                              timeout_ms=1000)
    assert verdict == "ok", found
    for server in (world.ns1, world.ns2):
        for asked in ("www.shop.test.", "alias.shop.test.", "alias2.shop.test."):
            assert sorted(kind for name_asked, kind, _ in server.asked if name_asked == asked and kind != "NS") == [
                "A", "AAAA"], server.asked
    targets = [each[:2] for each in world.at(21)[0].asked if each[1] != "NS"]
    assert sorted(targets) == [("edge.foreign.test.", "A"), ("edge.foreign.test.", "AAAA")], targets


# 13. Broken, and honest all the same


def add_glueless(world, origin, apex="203.0.113.10"):
    """A zone of test. whose name server is elsewhere, and has no glue there."""
    world.tld.add(f"{origin} NS ns5.foreign.test.")
    world.foreign.add("ns5.foreign.test. A 127.66.0.22")
    zone = Zone(origin, f"{origin} NS ns5.foreign.test.\n{origin} A {apex}")
    world.server(22, zone)
    return zone


def add_shop_below(world, origin):
    """shop.<origin>, delegated by that zone to our pair."""
    zone = add_glueless(world, origin)
    shop = Zone(f"shop.{origin}", f"www.shop.{origin} A 203.0.113.10")
    for server in OUR_PAIR:
        zone.add(f"shop.{origin} NS {server}")
        shop.add(f"shop.{origin} NS {server}")
    for server in (world.ns1, world.ns2):
        server.zones.append(shop)
    return zone


CO = {"zone": "shop.co.test", "names": ("www.shop.co.test",)}


@scenario("ok", "proxied", caa="strict", **CO)
def a_zone_above_with_name_servers_without_glue(world):
    add_shop_below(world, "co.test.")


@scenario("refused", "caa-refused", caa="strict", **CO)
def caa_of_a_zone_above_with_name_servers_without_glue(world):
    add_shop_below(world, "co.test.").add('co.test. CAA 0 issue "letsencrypt.org"')


@signed("ok", "proxied", secure=False, caa="strict", **CO)
def dnssec_an_unsigned_zone_above_with_name_servers_without_glue(world):
    add_shop_below(world, "co.test.")


@scenario("ok", "proxied", **ALIAS)
def an_alias_to_the_own_name_of_a_zone_with_name_servers_without_glue(world):
    add_glueless(world, "co.test.")
    world.shop.add("alias.shop.test. CNAME co.test.")


@scenario("ok", "proxied", servers="co.test")
def a_name_server_called_as_a_zone_with_name_servers_without_glue(world):
    add_glueless(world, "co.test.", apex="127.66.0.12")
    for zone in (world.tld, world.shop):
        zone.remove("shop.test.", "NS").add("shop.test. NS co.test.")


def drop_edns(query, wire, transport, server):
    return [] if query.edns >= 0 and transport == "udp" else None


@scenario("ok", "proxied")
def servers_that_drop_edns(world):
    world.hook(drop_edns, 2, 3, 11, 12)


@scenario("ok", "proxied", **ALIAS)
def servers_that_drop_edns_and_truncate(world):
    world.shop.add("alias.shop.test. A 203.0.113.5")

    def truncate(query, wire, transport, server):
        answer = server.resolve(query)
        answer.is_truncated, answer.answer, answer.authority = True, [], []
        return [answer.to_wire()] if transport == "udp" else None

    world.hook(drop_edns)
    world.hook(truncate)


@signed("ok", "proxied", secure=False, shop_signed=False)
def dnssec_servers_of_an_unsigned_zone_that_drop_edns(world):
    world.hook(drop_edns)


@signed("failed", "*")
def dnssec_servers_of_a_signed_zone_that_drop_edns_over_tcp_too(world):
    world.hook(lambda query, wire, transport, server: [] if query.edns >= 0 else None)


@signed("ok", "proxied", secure=True)
def dnssec_a_lost_query_of_a_signed_zone_is_asked_again_with_edns(world):
    the_first_query_of_each_name_is_lost(world)


def test_a_server_that_drops_edns_costs_one_silence(farm, tmp_path):
    world = World()
    world.hook(drop_edns)
    verdict, _, found = check(farm, world, tmp_path)
    silences = [each for each in found["queries"] if each.get("failure") == "timeout"]
    assert verdict == "ok" and len(silences) == 2, found


def below_apex(*kinds):
    """A hook: an error for these types at names below shop.test."""

    def make(rcode):
        def hook(query, wire, transport, server):
            question = query.question[0]
            if question.name.to_text().lower() == "shop.test." or not question.name.is_subdomain(name("shop.test.")):
                return None
            return edit(set_rcode(rcode), kinds=kinds)(query, wire, transport, server)

        return hook

    return make


NS_ERRORS = ["REFUSED", "SERVFAIL", "NOTIMP", "FORMERR"]


@pytest.mark.parametrize("kinds", [("NS",), ("NS", "SOA", "TXT", "MX")], ids=["ns", "all-but-addresses"])
@pytest.mark.parametrize("rcode", NS_ERRORS)
@pytest.mark.parametrize("is_signed", [False, True], ids=["unsigned", "signed"])
def test_servers_that_answer_ns_below_the_zones_own_name_with_an_error(farm, tmp_path, rcode, kinds, is_signed):
    world = World(is_signed)
    world.shop.add("a.b.shop.test. A 203.0.113.3")
    world.hook(below_apex(*kinds)(dns.rcode.from_text(rcode)))
    for asked in ("www.shop.test", "a.b.shop.test"):
        verdict, reason, found = check(farm, world, tmp_path, names=(asked,), anchor=is_signed)
        assert (verdict, reason, found["names"][0]["secure"]) == ("ok", "proxied", is_signed), found


@pytest.mark.parametrize("is_beside", [False, True], ids=["apart", "on-the-same-servers"])
@pytest.mark.parametrize("asked", ["sub.shop.test", "www.sub.shop.test"])
def test_a_cut_below_is_seen_where_ns_is_answered_with_an_error(farm, tmp_path, asked, is_beside):
    world = World()
    world.shop.add("sub.shop.test. NS ns1.foreign.test.")
    if is_beside:
        below(world, 11, 12, origin="sub.shop.test.")
    world.hook(below_apex("NS")(dns.rcode.REFUSED))
    verdict, reason, found = check(farm, world, tmp_path, names=(asked,))
    assert (verdict, reason) == ("refused", "sub-zone"), found


@scenario("ok", "proxied", caa="strict", zone="shop.co.test", names=("www.shop.co.test",))
def a_parent_that_refuses_ns_for_the_name_between(world):
    shop = Zone("shop.co.test.", "www.shop.co.test. A 203.0.113.10")
    for server in OUR_PAIR:
        world.tld.add(f"shop.co.test. NS {server}")
        shop.add(f"shop.co.test. NS {server}")
    for server in (world.ns1, world.ns2):
        server.zones.append(shop)
    world.hook(edit(set_rcode(dns.rcode.REFUSED), kinds=["NS"], names=["co.test."]), 2, 3)


@pytest.mark.parametrize("rcode", [dns.rcode.BADVERS, dns.rcode.BADCOOKIE, 11, 3841, dns.rcode.FORMERR, dns.rcode.NOTIMP])
def test_a_server_that_has_trouble_is_not_said_to_be_lame(farm, tmp_path, rcode):
    world = World()
    world.ns2.hooks.append(edit(set_rcode(rcode), names=["shop.test."]))
    verdict, reason, found = check(farm, world, tmp_path)
    assert (verdict, reason) == ("failed", "servfail"), found
    assert "ns2.provider.test" in found["zones"][0]["text"] and "try again later" in found["zones"][0]["text"], found


# 14. What the reader is told


def text_of(farm, tmp_path, world, reason, **options):
    _, found_reason, found = check(farm, world, tmp_path, **options)
    assert found_reason == reason, found
    return next(each["text"] for each in found["zones"] + found["names"] if each["reason"] == reason)


def test_a_walk_that_failed_names_server_and_zone(farm, tmp_path):
    world = World()
    world.hook(edit(set_rcode(dns.rcode.SERVFAIL)), 2, 3)
    text = text_of(farm, tmp_path, world, "walk-failed")
    assert ".nic.test, a name server of test; try again later" in text and "SERVFAIL" in text, text


def test_a_zone_above_whose_servers_do_not_serve_it_is_a_lasting_fault(farm, tmp_path):
    world = World()
    world.hook(edit(set_rcode(dns.rcode.REFUSED)), 2, 3)
    text = text_of(farm, tmp_path, world, "walk-failed")
    assert "it must serve the zone" in text and "later" not in text, text


def test_caa_that_failed_names_the_zone_where_it_did(farm, tmp_path):
    world = World()
    world.hook(edit(set_rcode(dns.rcode.SERVFAIL), kinds=["CAA"]), 2, 3)
    text = text_of(farm, tmp_path, world, "caa-failed", caa="strict")
    assert text.startswith("The CAA records of test, which count for www.shop.test,"), text
    assert "a name server of test" in text, text


def test_a_delegation_without_glue_says_who_adds_it(farm, tmp_path):
    world = World()
    a_delegation_without_glue(world)
    text = text_of(farm, tmp_path, world, "no-address", servers="ns1.shop.test")
    assert "at the registrar" in text and "later" not in text, text


@pytest.mark.parametrize("bend, words", [
    (dnssec_expired_in_the_zone, "whoever runs shop.test must sign it again"),
    (dnssec_expired_at_the_parent, "whoever runs test must sign it again"),
    (dnssec_signatures_stripped, "whoever runs shop.test must sign it, or have its DS records removed"),
    (dnssec_ds_of_another_key, "the DS records of shop.test must be those of its keys: change them at the registrar"),
    (dnssec_keys_stripped, "the DS records of shop.test"),
    (dnssec_too_many_keys, "leave fewer keys")], ids=lambda value: getattr(value, "__name__", None))
def test_keys_that_cannot_be_trusted_say_what_to_change(farm, tmp_path, bend, words):
    world = World(is_signed=True)
    bend(world)
    text = text_of(farm, tmp_path, world, "bogus", anchor=True)
    assert words in text and "later" not in text, text


def budget_of(options, budget=BUDGET):
    further = len(options.get("servers", OURS).split(",")) - 1
    return budget + (PER_NAME + PER_SERVER * further) * len(options.get("names", (1,)))


def check_scenario(farm, tmp_path, bend, verdict, reason, arguments, options):
    world = World(**arguments)
    bend(world)
    options = dict(options)
    secure, says = options.pop("secure", None), options.pop("says", "")
    found, why, result = check(farm, world, tmp_path, **options)
    words = json.dumps(result, indent=1)
    assert found == verdict, words
    assert reason == "*" or why == reason, words
    if secure is not None:
        assert result["names"][-1]["secure"] is secure, words
    if found != "ok":
        texts = [each["text"] for each in result["zones"] + result["names"] if each["verdict"] == found]
        assert all(len(text) > 20 and says in text for text in texts), texts
    assert result["sent"] <= budget_of(options)
    assert world.queries <= budget_of(options) + POOL_QUERIES
    assert world.misled == []


@pytest.mark.parametrize("bend, verdict, reason, arguments, options", SCENARIOS)
def test_scenario(farm, tmp_path, bend, verdict, reason, arguments, options):
    check_scenario(farm, tmp_path, bend, verdict, reason, arguments, options)


def test_there_are_at_least_a_hundred_scenarios():
    assert len({each.id for each in SCENARIOS}) >= 100
