"""What takes a name from another customer, or gives it back to its former holder, is shown by every server of every zone on the
way to it: at each address, by referral or as the child. Servers of the parent's that only err otherwise hinder nobody."""

import itertools
import time
from contextlib import contextmanager

import pytest

import test_hidden_zones
from dns_farm import TYPE, Zone
from test_hidden_zones import A, B, SERVERS, Provider, add, check, customers, farm, started  # noqa: F401
from test_ownership_attacks import new_name
from test_taken_back import lagging
from under_test import wait_until
from verify import der_of, load_chain

TRIES = 6  # at two servers: one of them meets each


@pytest.fixture(scope="module")
def provider(farm):  # noqa: F811
    """With so many name servers that no two zones of a name share one."""
    more = {f"ns{at}.provider.test": f"127.66.0.1{at}" for at in (4, 5, 6)}
    test_hidden_zones.SERVERS = SERVERS | more
    provider = Provider(farm)
    for server, address in more.items():
        for zone in (provider.world.tld, provider.world.provider):
            zone.add(f"{server}. A {address}")
        provider.world.server(int(address.rpartition(".")[2]), provider.world.provider)
    yield provider
    test_hidden_zones.SERVERS = SERVERS


@pytest.fixture(scope="module")
def sandbox(farm, provider, tmp_path_factory):  # noqa: F811
    with started(tmp_path_factory.mktemp("way"), farm, provider, sweep_seconds=3600) as sandbox:
        yield sandbox


def become_active(sandbox, customer, name):
    """Not at the first check: the one that follows the adding may still be under way, or be of this second."""
    seen = []

    def is_active():
        seen.append(check(sandbox, customer, name))
        return seen[-1]["status"] == "active"

    assert wait_until(is_active, 20, pause=1.1), seen[-1]["reason"]


def redelegate(provider, parent, name, servers):  # noqa: F811
    provider.undelegate(parent, name)
    provider.delegate(parent, name, servers)


def copy_of(zone):
    stale = Zone(zone.origin.to_text(), "", zone.keys)
    stale.sets = {key: rrset.copy() for key, rrset in zone.sets.items()}
    return stale


def new_parent(provider, addresses_each):  # noqa: F811
    """(a zone on foreign servers n0, n1 with so many addresses each, those servers)"""
    name, servers, lasts = new_name(), [], itertools.count(22)
    zone = Zone(f"{name}.", "")
    for number in range(2):
        for each in (provider.world.tld, zone):
            each.add(f"{name}. NS n{number}.{name}.")
        for _ in range(addresses_each):
            last = next(lasts)
            servers.append(provider.world.server(last, zone))
            for each in (provider.world.tld, zone):
                each.add(f"n{number}.{name}. A 127.66.0.{last}")
    return zone, name, servers


def had_and_lost(sandbox, provider, parent, name):  # noqa: F811
    """(A's zone file and servers, B's): A had the name, and B has it now."""
    pair_a, pair_b = add(sandbox, A, name), add(sandbox, B, name)
    zone_a, zone_b = provider.zone(name, pair_a), provider.zone(name, pair_b)
    redelegate(provider, parent, name, pair_a)
    become_active(sandbox, A, name)
    redelegate(provider, parent, name, pair_b)
    become_active(sandbox, B, name)
    time.sleep(1.1)
    return zone_a, pair_a, zone_b, pair_b


def assert_gets_nothing(sandbox, client, customer, name, tries=TRIES):
    for number in range(tries):
        shown = check(sandbox, customer, name)
        assert shown["status"] in ("pending", "moved"), shown
        reply = client.new_order([f"a{number}.{name}"])
        assert reply.status in (400, 403, 429), reply.text
        time.sleep(1.1)
    return shown["reason"]


def is_active(sandbox, name):
    owner = sandbox["CUSTOMER_2"]
    return sandbox.admin.get(f"zones/{name}?customer={owner}")["status"] == "active"


def test_no_zone_below_a_name_that_was_lost_comes_from_a_server_that_lags_behind(sandbox, provider, customers):  # noqa: F811
    """A's zone file of the name still refers to what she adds below."""
    (client_a, _), (client_b, _) = customers[A], customers[B]
    world, name = provider.world, new_name()
    pair_a, pair_b = add(sandbox, A, name), add(sandbox, B, name)
    zone_a = provider.zone(name, pair_a)
    redelegate(provider, world.tld, name, pair_a)
    become_active(sandbox, A, name)
    with lagging(provider):
        redelegate(provider, world.tld, name, pair_b)
        provider.zone(name, pair_b)
    become_active(sandbox, B, name)
    below = f"www.{name}"
    _, chain, _ = client_b.issue([below])
    redelegate(provider, world.tld, name, pair_a)
    with lagging(provider):
        redelegate(provider, world.tld, name, pair_b)
        pair_below = add(sandbox, A, below)
        provider.zone(below, pair_below)
        redelegate(provider, zone_a, below, pair_below)
        assert_gets_nothing(sandbox, client_a, A, below)
        assert client_a.revoke(der_of(load_chain(chain)[0])).status == 403


def test_each_zone_on_the_way_is_shown_by_all_servers_where_a_name_below_is_anothers(sandbox, provider, customers):  # noqa: F811
    """l is nobody's here and was on a server of A's; today's delegates www.l to B."""
    client_a, client_b = customers[A][0], customers[B][0]
    world, above = provider.world, new_name()
    below = f"www.{above}"
    zones = []
    for host, last in (("m", 27), ("n", 26)):
        server = f"{host}.{above}"
        zones.append(Zone(f"{above}.", f"{above}. NS {server}.\n{server}. A 127.66.0.{last}"))
        world.server(last, zones[-1])
        world.tld.add(f"{server}. A 127.66.0.{last}")
    former, todays = zones
    world.tld.add(f"{above}. NS m.{above}.")
    pair_a, pair_b = add(sandbox, A, below), add(sandbox, B, below)
    for zone, pair in ((former, pair_a), (todays, pair_b)):
        provider.zone(below, pair)
        provider.delegate(zone, below, pair)
    with lagging(provider):
        redelegate(provider, world.tld, above, [f"n.{above}"])
        become_active(sandbox, B, below)
        time.sleep(6)  # the referral that was kept
        assert_gets_nothing(sandbox, client_a, A, below, 3 * TRIES)  # some by one that was kept as well
        assert is_active(sandbox, below)
    assert wait_until(lambda: client_b.new_order([below]).status == 201, 30, pause=1.1)


def test_servers_of_the_parents_that_have_the_child_themselves_must_agree_too(sandbox, provider, customers):  # noqa: F811
    """Each is believed as the child's, elsewhere."""
    parent, parent_name, servers = new_parent(provider, 1)
    name = f"l.{parent_name}"
    zone_a, _, zone_b, _ = had_and_lost(sandbox, provider, parent, name)
    for server, zone in zip(servers, (zone_a, zone_b)):
        server.zones.append(zone)
    assert "do not agree" in assert_gets_nothing(sandbox, customers[A][0], A, name)
    assert is_active(sandbox, name)


@pytest.mark.parametrize("names", [1, 2])
def test_each_address_of_a_server_of_the_parents_must_agree(sandbox, provider, customers, names):  # noqa: F811
    parent, parent_name, servers = new_parent(provider, 2)
    name = f"l.{parent_name}"
    _, pair_a, _, _ = had_and_lost(sandbox, provider, parent, name)
    stale = copy_of(parent)
    redelegate(provider, stale, name, pair_a)
    for server in servers[1::2][:names]:
        server.zones = [stale]
    assert "do not agree" in assert_gets_nothing(sandbox, customers[A][0], A, name)
    assert is_active(sandbox, name)


@contextmanager
def refers_with_aa(provider, zone_b):  # noqa: F811
    server = provider.world.servers["127.66.0.3"]

    def hook(query, wire, transport, server):
        answer = server.resolve(query)
        if answer.authority and answer.authority[0].rdtype == TYPE("NS"):
            answer.is_authoritative = True
        return [answer.to_wire()]

    server.hooks.append(hook)
    try:
        yield
    finally:
        server.hooks.remove(hook)


@contextmanager
def has_the_child(provider, zone_b):  # noqa: F811
    server = provider.world.servers["127.66.0.3"]
    server.zones.append(zone_b)
    try:
        yield
    finally:
        server.zones.remove(zone_b)


@contextmanager
def is_silent(provider, zone_b):  # noqa: F811
    server = provider.world.servers["127.66.0.3"]

    def hook(query, wire, transport, server):
        return []

    server.hooks.append(hook)
    try:
        yield
    finally:
        server.hooks.remove(hook)


@pytest.mark.parametrize("errs", [refers_with_aa, has_the_child, is_silent])
def test_a_new_owner_whose_parents_servers_all_show_him_is_not_refused(sandbox, provider, customers, errs):  # noqa: F811
    name, world = new_name(), provider.world
    pair_a, pair_b = add(sandbox, A, name), add(sandbox, B, name)
    provider.zone(name, pair_a)
    zone_b = provider.zone(name, pair_b)
    redelegate(provider, world.tld, name, pair_a)
    become_active(sandbox, A, name)
    redelegate(provider, world.tld, name, pair_b)
    with errs(provider, zone_b):
        become_active(sandbox, B, name)
        customers[B][0].issue([f"www.{name}"])
