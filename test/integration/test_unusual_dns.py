"""Name servers that are honest and unusual: they must be believed as every resolver does, and no forgery gains by it.
Scenarios as in test_hostile_dns.py; test_hostile_orders.py runs them through orders."""

import functools
import json

import pytest

from dns_farm import TYPE, Farm, World, Zone
from test_hostile_attacks import VICTIM, add_victim, forged_referral
from test_hostile_dns import DEEP, OUR_PAIR, OWN, POOL, add_deep, check, check_scenario, edit, record, scenario

UNUSUAL = []
unusual = functools.partial(scenario, scenarios=UNUSUAL)
SIGNED = {"world": {"is_signed": True}, "anchor": True}


@pytest.fixture(scope="module")
def farm():
    farm = Farm()
    yield farm
    farm.close()


# Referrals that claim authority


def claim_authority(answer, query):
    answer.is_authoritative = True


@unusual("ok", "proxied")
def a_parent_that_sets_aa_in_referrals(world):
    world.hook(edit(claim_authority), 2, 3)


@unusual("ok", "proxied", caa="strict")
def a_root_and_a_parent_that_set_aa_in_referrals(world):
    world.shop.add('shop.test. CAA 0 issue "ca.provider.test"')
    world.hook(edit(claim_authority), 1, 2, 3)


@unusual("ok", "proxied", secure=True, **SIGNED)
def dnssec_a_parent_that_sets_aa_in_referrals(world):
    world.hook(edit(claim_authority), 1, 2, 3)


@unusual("ok", "proxied", secure=False, world={"is_signed": True, "shop_signed": False}, anchor=True)
def dnssec_a_parent_that_sets_aa_in_referrals_and_proves_that_there_is_no_ds(world):
    world.hook(edit(claim_authority), 1, 2, 3)


@unusual("refused", "delegated-elsewhere", zone="other.test", names=("www.other.test",))
def a_zone_with_other_name_servers_whose_parent_sets_aa(world):
    world.hook(edit(claim_authority), 2, 3)


@unusual("ok", "proxied", own=OWN, zone="deep.shop.test", names=("www.deep.shop.test",), pool="ns3.provider.test",
         servers="ns3.provider.test")
def a_zone_below_one_at_a_foreign_operator_who_sets_aa(world):
    for zone in (world.tld, world.shop):
        zone.remove("shop.test.", "NS")
        zone.add("shop.test. NS ns1.foreign.test.")
    world.at(21)[0].zones.append(world.shop)
    add_deep(world, 13, name_servers=("ns3.provider.test.",))
    world.hook(edit(claim_authority), 21)


@unusual("refused", "sub-zone")
def a_further_cut_that_the_zones_servers_show_with_aa(world):
    for each in OUR_PAIR:
        world.shop.add(f"www.shop.test. NS {each}")
    world.hook(edit(claim_authority))


@unusual("failed", "caa-failed", caa="strict", says="a further zone is delegated there")
def a_cut_that_is_shown_with_aa_to_the_question_for_caa_alone(world):
    def refer(answer, query):
        answer.answer, answer.authority = [], [record("www.shop.test.", "NS", *OUR_PAIR)]

    world.hook(edit(refer, kinds=["CAA"], names=["www.shop.test."]))


# What is no referral, or nobody's word, in spite of NS records in the authority section


@unusual("refused", "not-delegated")
def a_denial_that_names_the_parents_own_servers_in_place_of_its_soa(world):
    def deny(answer, query):
        answer.authority, answer.additional = [record("test.", "NS", "a.nic.test.", "b.nic.test.")], []
        answer.is_authoritative = True

    world.hook(edit(deny, kinds=["NS"], names=["shop.test."]), 2, 3)


@unusual("refused", "not-delegated")
def a_denial_with_soa_beside_ns_records_of_the_zone(world):
    def deny(answer, query):
        answer.is_authoritative = True
        answer.authority.append(world.tld.get(world.tld.origin, TYPE("SOA")))

    world.hook(edit(deny, kinds=["NS"], names=["shop.test."]), 2, 3)


@unusual("refused", "does-not-exist")
def an_nxdomain_beside_ns_records_of_the_zone(world):
    def deny(answer, query):
        answer.is_authoritative, answer.rcode = True, 3

    world.hook(edit(deny, kinds=["NS"], names=["shop.test."]), 2, 3)


def refer_with_authority(origin):
    """As servers would that show a zone of their own like a delegation."""
    def change(answer, query):
        answer.is_authoritative, answer.answer, answer.additional = True, [], []
        answer.authority = [record(origin, "NS", *OUR_PAIR)]

    return edit(change, kinds=["NS"], names=[origin])


@unusual("failed", "walk-failed", says="claims authority", pool=POOL, **DEEP)
def a_zone_below_anothers_that_the_providers_servers_show_with_aa(world):
    add_deep(world, 11, 12, is_delegated=False)
    world.hook(refer_with_authority("deep.shop.test."))


@unusual("failed", "walk-failed", pool=POOL, **DEEP)
def a_zone_below_anothers_that_one_of_the_providers_servers_shows_with_aa(world):
    add_deep(world, 11, 12, is_delegated=False)
    world.ns1.hooks.append(refer_with_authority("deep.shop.test."))


@unusual("failed", "walk-failed", pool=POOL, zone="a.deep.shop.test", servers="ns3.provider.test",
         names=("www.a.deep.shop.test",))
def a_zone_below_a_hidden_one_that_the_providers_servers_show_with_aa(world):
    add_deep(world, 11, 12, is_delegated=False)
    world.at(13)[0].zones.append(Zone("a.deep.shop.test.", """a.deep.shop.test. NS ns3.provider.test.
        www.a.deep.shop.test. A 203.0.113.9"""))
    world.hook(refer_with_authority("deep.shop.test."))


@unusual("failed", "bogus", **SIGNED, **VICTIM)
def dnssec_a_victims_zone_behind_a_forged_referral_with_aa(world):
    add_victim(world, world.keys["shop.test."])

    def forge(query, wire, transport, server):
        if query.question[0].rdtype != TYPE("NS") or query.question[0].name.to_text().lower() != "victim.test.":
            return None
        lie = bytearray(forged_referral(query, server))
        lie[2] |= 4
        return [bytes(lie)]

    world.hook(forge, 2, 3)


# Long names


def of_length(length, zone=".shop.test"):
    """A name of so many characters."""
    rest = length - len(zone)
    labels = ["a" * 50] * (rest // 51) + ["b" * (rest % 51)]
    made = ".".join(each for each in labels if each) + zone
    assert len(made) == length
    return made


@unusual("ok", "proxied", names=(of_length(253),))
def the_longest_name(world):
    world.shop.add("*.shop.test. A 203.0.113.9")


@unusual("ok", "proxied", names=("*." + of_length(236),))
def the_longest_wildcard_that_can_be_asked_for(world):
    world.shop.add("*.shop.test. A 203.0.113.9")


# Many records


def add_caa(world, count):
    """The last one is ours."""
    for at in range(count - 1):
        world.shop.add(f'shop.test. CAA 0 issue "ca{at}.example; account={at}"')
    world.shop.add('shop.test. CAA 0 issue "ca.provider.test"')


@unusual("ok", "proxied", caa="strict")
def many_caa_records(world):
    add_caa(world, 120)


@unusual("ok", "proxied", caa="strict")
def as_many_caa_records_as_a_message_may_hold(world):
    add_caa(world, 256)


@unusual("failed", "caa-failed", caa="strict", says="more than 256 records")
def more_caa_records_than_a_message_may_hold(world):
    add_caa(world, 257)


@unusual("ok", "proxied", caa="strict", secure=True, **SIGNED)
def dnssec_as_many_caa_records_as_a_message_may_hold_with_their_signature(world):
    add_caa(world, 255)


@unusual("refused", "caa-refused", caa="strict")
def many_caa_records_none_of_which_is_ours(world):
    for at in range(256):
        world.shop.add(f'shop.test. CAA 0 issue "ca{at}.provider.test"')


@unusual("refused", "too-many-addresses")
def more_addresses_than_are_looked_at(world):
    for at in range(65):
        world.shop.add(f"www.shop.test. A 203.0.113.{at}")


# Silence over UDP


def silent_over_udp(query, wire, transport, server):
    return [] if transport == "udp" else None


@unusual("ok", "proxied", caa="strict")
def name_servers_that_answer_over_tcp_alone(world):
    world.shop.add('shop.test. CAA 0 issue "ca.provider.test"')
    world.hook(silent_over_udp)


@unusual("ok", "proxied")
def one_name_server_that_answers_over_tcp_alone(world):
    world.ns2.hooks.append(silent_over_udp)


@unusual("ok", "proxied", secure=True, **SIGNED)
def dnssec_name_servers_that_answer_over_tcp_alone(world):
    world.hook(silent_over_udp)


@unusual("ok", "proxied")
def a_parent_that_answers_over_tcp_alone(world):
    world.hook(silent_over_udp, 2, 3)


@unusual("ok", "proxied")
def name_servers_that_answer_over_tcp_alone_and_refuse_edns(world):
    def refuse(query, wire, transport, server):
        if transport == "udp":
            return []
        return [wire[:2] + b"\x80\x01" + bytes(8)] if query.edns >= 0 else None

    world.hook(refuse)


@unusual("ok", "proxied", secure=True, **SIGNED)
def dnssec_name_servers_that_drop_edns_over_udp_alone(world):
    world.hook(lambda query, wire, transport, server: [] if transport == "udp" and query.edns >= 0 else None)


@unusual("failed", "unreachable", says="no answer over UDP; over TCP: ")
def name_servers_that_are_silent_over_udp_and_end_each_connection(world):
    world.hook(lambda query, wire, transport, server: [] if transport == "udp" else ["close"])


@unusual("failed", "unreachable", says="no answer over UDP; over TCP: timeout")
def name_servers_that_take_connections_and_say_nothing(world):
    world.ns1.listens = world.ns2.listens = False


class FirstIsLost:
    """Of each question to each server the first datagram."""

    def __init__(self):
        self.seen = set()

    def __call__(self, query, wire, transport, server):
        question = query.question[0]
        key = server.address, question.name.to_text().lower(), question.rdtype
        is_lost = key not in self.seen
        self.seen.add(key)
        return [] if is_lost else None


@unusual("ok", "proxied", timeout_ms=800)
def the_first_datagram_of_each_question_is_lost(world):
    world.hook(FirstIsLost())


@unusual("ok", "proxied", timeout_ms=800)
def name_servers_that_are_slower_than_a_lost_datagram_is_waited_for(world):
    world.hook(lambda query, wire, transport, server: [0.25, server.resolve(query).to_wire()])


def test_what_a_server_was_found_to_take_is_waited_for(farm, tmp_path):
    """Only the first question is asked twice."""
    world = World()
    world.hook(lambda query, wire, transport, server: [0.25, server.resolve(query).to_wire()])
    verdict, _, found = check(farm, world, tmp_path, timeout_ms=800)
    assert verdict == "ok", found
    for server in (world.ns1, world.ns2):
        asked = [question[:2] for question in server.asked]
        assert [each for each in asked if asked.count(each) > 1] in ([], [("shop.test.", "NS")] * 2), asked


def test_a_server_that_answers_over_tcp_alone_is_asked_so_from_then_on(farm, tmp_path):
    world = World()
    world.hook(silent_over_udp)
    verdict, _, found = check(farm, world, tmp_path)
    assert verdict == "ok", found
    for server in (world.ns1, world.ns2):
        over_udp = {question[:2] for question in server.asked if question[2] == "udp"}
        assert over_udp == {("shop.test.", "NS")} and len({question[:2] for question in server.asked}) > 2, server.asked


@pytest.mark.parametrize("length", [237, 251])
def test_a_wildcard_that_cannot_be_asked_for_is_refused_for_good(farm, tmp_path, length):
    verdict, reason, found = check(farm, World(), tmp_path, names=["*." + of_length(length)])
    assert (verdict, reason) == ("refused", "too-long") and "at most 236 bytes" in json.dumps(found), found


@pytest.mark.parametrize("bend, verdict, reason, arguments, options", UNUSUAL)
def test_unusual(farm, tmp_path, bend, verdict, reason, arguments, options):
    check_scenario(farm, tmp_path, bend, verdict, reason, arguments, options)


