"""Attacks on resolvers that have a name, planted records, addresses that nobody may ask, and forgeries that would get a
certificate for a victim's zone. Scenarios as in test_hostile_dns.py; test_hostile_orders.py runs them through orders."""

import functools
import secrets
import struct

import dns.rcode
import pytest

from dns_farm import FORBIDDEN, TYPE, Farm, Keys, Zone, name
from test_hostile_dns import OUR_PAIR, check_scenario, edit, record, reply, scenario

ATTACKS = []
attack = functools.partial(scenario, scenarios=ATTACKS)


@pytest.fixture(scope="module")
def farm():
    farm = Farm()
    yield farm
    farm.close()


def each(*values):
    """Registers a scenario for each value: bend(world, value)."""

    def register(how):
        def many(function):
            for title, value in values:
                def bend(world, value=value):
                    function(world, value)
                bend.__name__ = f"{function.__name__}-{title}"
                how(bend)
            return function
        return many
    return register


# 1. A victim's zone behind each forgery. victim.test is at ns1.foreign.test, on the edge as well; the attacker has added
# the zone, and the pair that was assigned to him serves his.

VICTIM = {"zone": "victim.test", "names": ("www.victim.test",)}


def add_victim(world, keys=None):
    """The attacker's zone."""
    world.tld.add("victim.test. NS ns1.foreign.test.")
    if keys:
        world.tld.add(f"victim.test. DS {keys.ds('victim.test.')}")
    world.at(21)[0].zones.append(Zone("victim.test.", """victim.test. NS ns1.foreign.test.
        www.victim.test. A 203.0.113.9""", keys))
    stolen = Zone("victim.test.", "\n".join([*(f"victim.test. NS {each}" for each in OUR_PAIR),
                                             "www.victim.test. A 203.0.113.9"]))
    for server in world.at(11, 12):
        server.zones.append(stolen)
    return stolen


def forged_referral(query, server):
    answer = server.resolve(query)
    answer.is_authoritative, answer.answer, answer.rcode = False, [], dns.rcode.NOERROR
    answer.authority = [record("victim.test.", "NS", *OUR_PAIR)]
    answer.additional = [record(each, "A", f"127.66.0.1{at}") for at, each in enumerate(OUR_PAIR, 1)]
    return answer.to_wire()


def forger(spoil, hides_truth=False):
    """A hook of the parent's servers: the forged referral, spoilt, comes before the true one."""

    def hook(query, wire, transport, server):
        if transport != "udp" or query.question[0].name != name("victim.test."):
            return None
        lies = spoil(forged_referral(query, server))
        return lies if hides_truth else lies + [server.resolve(query).to_wire()]

    return hook


def question_end(wire):
    return wire.index(b"\0", 12) + 5


SPOILT = [
    ("id", lambda lie: [bytes([lie[0] ^ 0x80]) + lie[1:]]),
    ("id-twice", lambda lie: [lie[:1] + bytes([lie[1] ^ bit]) + lie[2:] for bit in (1, 2)]),
    ("letter-case", lambda lie: [lie[:12] + lie[12:question_end(lie)].swapcase() + lie[question_end(lie):]]),
    ("letter-case-folded", lambda lie: [lie[:12] + lie[12:question_end(lie)].lower().replace(b"i", b"I", 1)
                                        + lie[question_end(lie):]]),
    ("question", lambda lie: [lie[:13] + b"w" + lie[14:]]),
    ("type", lambda lie: [lie[:question_end(lie) - 4] + struct.pack(">H", 6) + lie[question_end(lie) - 2:]]),
    ("class", lambda lie: [lie[:question_end(lie) - 2] + struct.pack(">H", 3) + lie[question_end(lie):]]),
    ("no-question", lambda lie: [lie[:4] + b"\0\0" + lie[6:12] + lie[question_end(lie):]]),
    ("two-questions", lambda lie: [lie[:4] + b"\0\2" + lie[6:question_end(lie)] + lie[12:]]),
    ("is-a-query", lambda lie: [lie[:2] + bytes([lie[2] & 0x7F]) + lie[3:]]),
    ("other-opcode", lambda lie: [lie[:2] + bytes([lie[2] | 0x28]) + lie[3:]]),
    ("cut", lambda lie: [lie[:11]]),
    ("address", lambda lie: [("127.66.0.30", lie)]),
    ("all-ids-but-one", lambda lie: [struct.pack(">H", lie[0] << 8 | lie[1] ^ at) + lie[2:] for at in range(1, 60)]),
]
RIGHT_BY_CHANCE = {"letter-case-folded"}


@each(*[pair for pair in SPOILT if pair[0] not in RIGHT_BY_CHANCE])(attack("refused", "delegated-elsewhere", **VICTIM))
def a_victims_zone_behind_a_forged_referral_with_a_wrong(world, spoil):
    add_victim(world)
    world.hook(forger(spoil), 2, 3)


@each(*[pair for pair in SPOILT if pair[0] in ("id", "question", "address", "two-questions")])(
    attack("failed", "walk-failed", **VICTIM))
def a_victims_zone_where_only_the_forger_answers_with_a_wrong(world, spoil):
    add_victim(world)
    for server in world.at(2, 3):
        server.hooks.append(lambda query, wire, transport, server: ["close"] if transport == "tcp" else None)
    world.hook(forger(spoil, hides_truth=True), 2, 3)


@attack("refused", "delegated-elsewhere", **VICTIM)
def a_victims_zone_that_the_parents_answer_delegates_in_passing(world):
    """The referral is there, and records that would name the attacker's pair in every other section."""
    add_victim(world)

    def add(answer, query):
        answer.answer.append(record("victim.test.", "NS", *OUR_PAIR))
        answer.additional.append(record("victim.test.", "NS", *OUR_PAIR))

    world.hook(edit(add, names=["victim.test."]), 2, 3)


@attack("refused", "partly-delegated", **VICTIM)
def a_victims_zone_whose_referral_the_forger_could_only_add_to(world):
    add_victim(world)
    world.hook(edit(lambda answer, query: answer.authority.append(record("victim.test.", "NS", *OUR_PAIR)),
                    names=["victim.test."]), 2, 3)


@attack("refused", "delegated-elsewhere", zone="victim.test", names=("www.victim.test",))
def a_victims_zone_on_servers_of_a_customer_who_refers_to_himself(world):
    """The attacker's servers say what they like of victim.test: nobody asks them."""
    stolen = add_victim(world)
    for server in world.at(11, 12):
        server.hooks.append(edit(lambda answer, query: answer.additional.append(stolen.get(stolen.origin, TYPE("NS")))))


def sign_victim(**options):
    return attack("failed", "bogus", world={"is_signed": True}, anchor=True, **VICTIM, **options)


@sign_victim()
def dnssec_a_victims_signed_zone_behind_a_forged_referral(world):
    """The forger got everything right: the parent's DS says whose zone it is."""
    add_victim(world, Keys())
    world.hook(lambda query, wire, transport, server: [forged_referral(query, server)]
               if query.question[0].name == name("victim.test.") and query.question[0].rdtype == TYPE("NS") else None, 2, 3)


@sign_victim()
def dnssec_a_victims_signed_zone_whose_ds_is_forged_away(world):
    add_victim(world, Keys())

    def forge(query, wire, transport, server):
        if query.question[0].name != name("victim.test."):
            return None
        if query.question[0].rdtype == TYPE("NS"):
            return [forged_referral(query, server)]
        answer = server.resolve(query)
        answer.answer, answer.authority = [], []
        answer.put(answer.authority, world.tld.nsec(name("foreign.test.")), world.tld)
        return [answer.to_wire()]

    world.hook(forge, 2, 3)


# 2. Planted records: glue and authority of what a server does not speak for

TRAP = "127.66.0.28"


def plant(answer):
    """Everything that would lead elsewhere if it were believed."""
    answer.authority += [record(".", "NS", "a.root."), record("test.", "NS", "a.nic.test."),
                         record("provider.test.", "NS", "ns1.provider.test."), record("victim.test.", "NS", *OUR_PAIR)]
    answer.additional += [record(each, "A", TRAP) for each in ("a.root.", "a.nic.test.", "b.nic.test.", *OUR_PAIR,
                                                              "ns1.foreign.test.", "www.victim.test.", "www.shop.test.")]


def add_trap(world):
    world.trap(TRAP, world.root, world.tld, world.provider, world.shop)


@attack("ok", "proxied", names=("alias.shop.test", "www.shop.test"))
def planted_by_the_server_of_an_aliass_target(world):
    add_trap(world)
    world.shop.add("alias.shop.test. CNAME host.foreign.test.")
    world.foreign.add("host.foreign.test. A 203.0.113.3")
    world.hook(edit(lambda answer, query: plant(answer)), 21)


@attack("ok", "proxied", zone="deep.shop.test", names=("www.deep.shop.test",), servers="ns4.provider.test")
def planted_glue_for_a_name_server_outside_of_the_zone_that_refers(world):
    """shop.test does not speak for provider.test, although its servers do."""
    add_trap(world)
    world.tld.remove("provider.test.", "NS").add("provider.test. NS ns1.foreign.test.")
    world.at(21)[0].zones.append(world.provider)
    for server in world.at(11, 12):
        server.zones = [world.shop]
    world.shop.add("deep.shop.test. NS ns4.provider.test.")
    world.provider.add("ns4.provider.test. A 127.66.0.14")
    world.server(14, Zone("deep.shop.test.", """deep.shop.test. NS ns4.provider.test.
        www.deep.shop.test. A 203.0.113.9"""))
    world.hook(edit(lambda answer, query: answer.additional.append(record("ns4.provider.test.", "A", TRAP)),
                    names=["deep.shop.test."]))


@attack("ok", "proxied")
def planted_by_the_zones_own_servers(world):
    add_trap(world)
    world.hook(edit(lambda answer, query: plant(answer)))


@attack("failed", "walk-failed")
def planted_authority_of_a_sibling_in_place_of_a_referral(world):
    add_trap(world)

    def aside(answer, query):
        answer.is_authoritative, answer.answer = False, []
        answer.authority, answer.additional = [record("provider.test.", "NS", "ns1.provider.test.")], []
        answer.additional.append(record("ns1.provider.test.", "A", TRAP))

    world.hook(edit(aside, names=["shop.test."]), 2, 3)


@attack("refused", "gray", names=("alias.shop.test",))
def planted_address_of_an_aliass_target_in_another_section(world):
    world.shop.add("alias.shop.test. CNAME host.foreign.test.")
    world.foreign.add("host.foreign.test. A 192.0.2.1")

    def add(answer, query):
        for section in (answer.authority, answer.additional):
            section.append(record("host.foreign.test.", "A", "203.0.113.3"))

    world.hook(edit(add), 11, 12, 21)


# 3. Addresses that nobody may ask

SPECIAL = ["0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", FORBIDDEN, "127.255.255.255", "169.254.169.254", "172.16.0.1",
           "172.31.255.255", "192.0.0.9", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.19.255.255",
           "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
           "::", "::2", f"::ffff:{FORBIDDEN}", "::ffff:10.0.0.1", f"::{FORBIDDEN}", f"64:ff9b::{FORBIDDEN}",
           "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::53", "2002:7f43:1::1", "3fff::1", "5f00::1", "fc00::1", "fd00::1",
           "fe80::1", "fec0::1", "ff02::1"]


def kind_of(address):
    return "AAAA" if ":" in address else "A"


def move_server(world, host, address):
    for zone in (world.tld, world.provider):
        zone.remove(host, "A").add(f"{host} {kind_of(address)} {address}")


@each(*[(address, address) for address in SPECIAL])(attack("failed", "no-address", says="one that is not asked"))
def a_name_server_whose_glue_is(world, address):
    world.trap(FORBIDDEN, world.provider, world.shop)
    move_server(world, "ns2.provider.test.", address)


@attack("failed", "no-address", says="127.67.0.1, the address of ns")
def all_name_servers_have_addresses_that_nobody_may_ask(world):
    world.trap(FORBIDDEN, world.provider, world.shop)
    for host in OUR_PAIR:
        move_server(world, host, FORBIDDEN)


@attack("ok", "proxied")
def an_address_that_nobody_may_ask_beside_a_good_one(world):
    world.trap(FORBIDDEN, world.provider, world.shop)
    for zone in (world.tld, world.provider):
        for host in OUR_PAIR:
            zone.add(f"{host} A {FORBIDDEN}").add(f"{host} AAAA ::ffff:{FORBIDDEN}").add(f"{host} AAAA fe80::1")


@attack("failed", "no-address", says="one that is not asked")
def a_name_server_without_glue_at_an_address_that_nobody_may_ask(world):
    world.trap(FORBIDDEN, world.provider, world.shop)
    world.tld.remove("ns1.provider.test.").remove("ns2.provider.test.")
    world.tld.remove("provider.test.", "NS").add("provider.test. NS ns1.foreign.test.")
    world.at(21)[0].zones.append(world.provider)
    world.provider.remove("ns2.provider.test.", "A").add(f"ns2.provider.test. A {FORBIDDEN}")


@attack("failed", "lookup-failed", says="one that is not asked", names=("alias.shop.test",))
def an_alias_into_a_zone_at_an_address_that_nobody_may_ask(world):
    world.trap(FORBIDDEN, world.foreign)
    world.shop.add("alias.shop.test. CNAME host.foreign.test.")
    world.tld.remove("ns1.foreign.test.", "A").add(f"ns1.foreign.test. A {FORBIDDEN}")
    world.foreign.add("host.foreign.test. A 203.0.113.3")


@attack("failed", "walk-failed", says="one that is not asked", zone="shop.between.test", names=("www.shop.between.test",))
def a_zone_on_the_way_at_an_address_that_nobody_may_ask(world):
    between = Zone("between.test.", "between.test. NS ns.between.test.\nshop.between.test. NS ns1.provider.test.")
    world.trap(FORBIDDEN, between)
    world.tld.add("between.test. NS ns.between.test.").add(f"ns.between.test. A {FORBIDDEN}")


@attack("failed", "lookup-failed", names=("alias.shop.test",))
def a_name_server_inside_its_zone_that_is_an_alias_where_the_parent_answers(world):
    """Its addresses are asked of the parent's servers in the zone's name; the copy of that must not go astray."""
    world.shop.add("deep.shop.test. NS ns1.deep.shop.test.").add("alias.shop.test. CNAME www.deep.shop.test.")
    deep = Zone("deep.shop.test.", """deep.shop.test. NS ns1.deep.shop.test.
        ns1.deep.shop.test. CNAME ns2.deep.shop.test.
        ns2.deep.shop.test. CNAME ns3.deep.shop.test.
        www.deep.shop.test. A 203.0.113.9""")
    for server in world.at(11, 12):
        server.zones.append(deep)


# 4. TsuNAME (Moura et al. 2021): zones whose name servers need each other


def ring(world, size, fan_out=1):
    """ring0.test has its name servers in ring1.test, and so on round."""
    for at in range(size):
        for below in range(fan_out):
            world.tld.add(f"ring{at}.test. NS ns{below}.ring{(at + 1) % size}.test.")


@each(("of-one", (1, 1)), ("of-two", (2, 1)), ("of-three", (3, 1)), ("of-seven", (7, 1)), ("of-two-with-fan-out", (2, 15)),
      ("of-three-with-fan-out", (3, 15)))(attack("failed", "lookup-failed", names=("alias.shop.test",)))
def tsuname_a_ring_behind_an_alias(world, shape):
    ring(world, *shape)
    world.shop.add("alias.shop.test. CNAME www.ring0.test.")


@each(("of-two", (2, 1)), ("of-three", (3, 1)), ("of-three-with-fan-out", (3, 15)))(attack("failed", "no-address"))
def tsuname_a_ring_that_the_provider_is_in(world, shape):
    ring(world, *shape)
    world.tld.remove("provider.test.", "NS").remove("ns1.provider.test.").remove("ns2.provider.test.")
    world.tld.add("provider.test. NS ns0.ring0.test.")


@attack("failed", "walk-failed", zone="shop.ring0.test", names=("www.shop.ring0.test",))
def tsuname_a_ring_above_the_zone(world):
    ring(world, 3, 13)


@attack("failed", "lookup-failed", names=("alias.shop.test",))
def tsuname_two_zones_whose_aliases_and_name_servers_need_each_other(world):
    ring(world, 2, 3)
    world.shop.add("alias.shop.test. CNAME a.foreign.test.")
    world.foreign.add("a.foreign.test. CNAME www.ring0.test.")


# 5. iDNS (Maury 2015): delegations without an end


def endless(world, make):
    """The server of foreign.test refers every question about a name below to make(that name)."""

    def refer(answer, query):
        asked = query.question[0].name
        if asked == name("foreign.test.") or not asked.is_subdomain(name("foreign.test.")):
            return
        answer.rcode, answer.is_authoritative, answer.answer, answer.additional = dns.rcode.NOERROR, False, [], []
        servers = make(asked.to_text())
        answer.authority = [record(asked.to_text(), "NS", *servers)]
        for each in servers:
            if each.startswith("glued"):
                answer.additional.append(record(each, "A", "127.66.0.21"))

    world.shop.add("alias.shop.test. CNAME " + "a." * 60 + "foreign.test.")
    world.hook(edit(refer), 21)


@attack("failed", "lookup-failed", names=("alias.shop.test",))
def idns_each_name_server_leads_to_a_new_delegation(world):
    endless(world, lambda asked: [f"n.{secrets.token_hex(4)}.foreign.test."])


@attack("failed", "lookup-failed", names=("alias.shop.test",))
def idns_each_delegation_has_many_name_servers_below_new_delegations(world):
    endless(world, lambda asked: [f"n{at}.{secrets.token_hex(4)}.foreign.test." for at in range(15)])


@attack("failed", "lookup-failed", names=("alias.shop.test",))
def idns_a_delegation_at_each_of_sixty_labels(world):
    endless(world, lambda asked: [f"glued.{asked}"])


@attack("failed", "lookup-failed", names=("alias.shop.test",))
def idns_each_name_server_lies_deeper_in_its_own_zone(world):
    endless(world, lambda asked: [f"n.n.{asked}"])


# 6. CAMP (Duan et al. 2024): what multiplies, composed: aliases, name servers without addresses, servers without answers


def camp(world, aliases, fan_out, is_silent):
    """A chain of aliases, each in a zone with many name servers, each of those in a zone with as many."""
    for at in range(aliases):
        for below in range(fan_out):
            world.tld.add(f"camp{at}.test. NS ns{below}.fan{at}x{below}.test.")
            for deeper in range(fan_out):
                world.tld.add(f"fan{at}x{below}.test. NS ns{deeper}.end.test.")
    world.tld.add("end.test. NS ns1.foreign.test.")
    chain = world.foreign.__class__("end.test.", "end.test. NS ns1.foreign.test.")
    for at in range(fan_out):
        chain.add(f"ns{at}.end.test. A 127.66.0.{29 if is_silent else 22}")
    world.at(21)[0].zones.append(chain)
    world.server(22, *[Zone(f"camp{at}.test.", f"www.camp{at}.test. CNAME www.camp{at + 1}.test.")
                       for at in range(aliases)])
    world.shop.add("alias.shop.test. CNAME www.camp0.test.")


@each(("silent", True), ("lame", False))(attack("failed", "*", names=("alias.shop.test",)))
def camp_aliases_times_name_servers_times_servers_that_are(world, is_silent):
    camp(world, 6, 6, is_silent)


@attack("failed", "*", names=tuple(f"a{at}.shop.test" for at in range(6)))
def camp_for_each_of_many_names(world):
    camp(world, 6, 5, True)
    for at in range(6):
        world.shop.add(f"a{at}.shop.test. CNAME www.camp{at}.test.")


@attack("refused", "cname-chain", names=("alias.shop.test",))
def camp_dns_unchained_aliases_to_and_fro_between_two_zones(world):
    """Bushart and Rossow 2018."""
    world.shop.add("alias.shop.test. CNAME a0.foreign.test.")
    for at in range(12):
        world.foreign.add(f"a{at}.foreign.test. CNAME b{at}.shop.test.")
        world.shop.add(f"b{at}.shop.test. CNAME a{at + 1}.foreign.test.")


# 7. NXNSAttack (Afek et al. 2020), NRDelegationAttack (Afek et al. 2023), water torture


@attack("failed", "lookup-failed", names=("alias.shop.test",))
def nxns_a_delegation_to_name_servers_of_a_victim_that_do_not_exist(world):
    world.shop.add("alias.shop.test. CNAME www.bomb.test.")
    for _ in range(15):
        world.tld.add(f"bomb.test. NS {secrets.token_hex(6)}.foreign.test.")


@attack("failed", "*", names=("alias.shop.test",))
def nrdelegation_a_delegation_to_servers_that_do_not_answer(world):
    world.shop.add("alias.shop.test. CNAME www.quiet.test.")
    for at in range(15):
        world.tld.add(f"quiet.test. NS ns{at}.quiet.test.").add(f"ns{at}.quiet.test. A 127.66.0.{22 + at % 8}")


@attack("failed", "*", names=("alias.shop.test",))
def nrdelegation_name_servers_that_refer_to_servers_that_do_not_answer(world):
    world.shop.add("alias.shop.test. CNAME www.quiet.test.")
    for at in range(15):
        world.tld.add(f"quiet.test. NS ns.mute{at}.test.").add(f"mute{at}.test. NS ns.mute{at}.test.")
        world.tld.add(f"ns.mute{at}.test. A 127.66.0.{22 + at % 8}")


@attack("refused", "does-not-exist", names=tuple(f"*.n{at}.shop.test" for at in range(20)))
def water_torture_wildcards_of_names_that_do_not_exist(world):
    pass


@pytest.mark.parametrize("bend, verdict, reason, arguments, options", ATTACKS)
def test_attack(farm, tmp_path, bend, verdict, reason, arguments, options):
    check_scenario(farm, tmp_path, bend, verdict, reason, arguments, options)
