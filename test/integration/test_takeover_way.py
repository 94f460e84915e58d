"""What takes a name from another customer, or gives it back to its former holder, is shown by every server of every zone on the
way to it: at each address, by referral or as the child. Servers of the parent's that only err otherwise hinder nobody."""

import itertools
import time
from contextlib import contextmanager

import pytest

import test_hidden_zones
from dns_farm import TYPE, Answer, Zone
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

    assert wait_until(is_active, 60, pause=1.1), seen[-1]["reason"]  # a referral that was kept for five seconds may stand in the way


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


@contextmanager
def one_shows(provider, server, zone, **changes):  # noqa: F811
    """One of a zone's servers shows other records than the rest: {owner: "TYPE value", or None for none at all}."""
    stale = copy_of(zone)
    for owner, line in changes["records"].items():
        stale.remove(f"{owner}.", "A")
        if line:
            stale.add(f"{owner}. {line}")
    server.zones = [stale if each is zone else each for each in server.zones]
    try:
        yield
    finally:
        server.zones = [zone if each is stale else each for each in server.zones]


def lies_below_nobodys(sandbox, provider, host):  # noqa: F811
    """(l, www.l, B's certificate): l is nobody's here, on HOST at .26, and delegates www.l to B. HOST was at .27, where A has a
    zone of that name that delegates www.l to her."""
    above = new_name()
    host = host or f"n.{above}"
    below = f"www.{above}"
    glue = lambda last: f"\n{host}. A 127.66.0.{last}" if host.endswith(above) else ""  # noqa: E731
    todays, former = (Zone(f"{above}.", f"{above}. NS {host}.{glue(last)}") for last in (26, 27))
    pair_a, pair_b = add(sandbox, A, below), add(sandbox, B, below)
    for last, zone, pair in ((27, former, pair_a), (26, todays, pair_b)):
        provider.world.server(last, zone)
        provider.zone(below, pair)
        provider.delegate(zone, below, pair)
    provider.world.tld.add(f"{above}. NS {host}.")
    if host.endswith(above):
        provider.world.tld.add(f"{host}. A 127.66.0.26")
    become_active(sandbox, B, below)
    return above, below


def new_hoster(provider):  # noqa: F811
    """A zone whose one name n is a name server of others', on servers s at .28, and at .29 as it was before."""
    name = new_name()
    zones = [Zone(f"{name}.", f"{name}. NS s.{name}.\ns.{name}. A 127.66.0.{last}\nn.{name}. A 127.66.0.{host}")
             for last, host in ((28, 26), (29, 27))]
    for last, zone in zip((28, 29), zones):
        provider.world.server(last, zone)
    provider.world.tld.add(f"{name}. NS s.{name}.").add(f"s.{name}. A 127.66.0.28")
    return name, zones


def test_another_address_of_a_name_server_on_the_way_takes_nothing(sandbox, provider, customers):  # noqa: F811
    above, below = lies_below_nobodys(sandbox, provider, None)
    server = provider.world.servers["127.66.0.3"]
    with one_shows(provider, server, provider.world.tld, records={f"n.{above}": "A 127.66.0.27"}):
        time.sleep(6)  # the referral that was kept
        assert_gets_nothing(sandbox, customers[A][0], A, below, 3 * TRIES)
        assert is_active(sandbox, below)


@pytest.mark.parametrize("errs", ["the zone above", "the zone above, with an address", "the zone of the name server", "denies"])
def test_another_address_of_a_name_server_without_glue_takes_nothing(sandbox, provider, customers, errs):  # noqa: F811
    """One server errs: it shows the name server's zone elsewhere, its address, or that there is no such name."""
    hoster, zones = new_hoster(provider)
    host, tld = f"n.{hoster}", provider.world.tld
    _, below = lies_below_nobodys(sandbox, provider, host)
    server = provider.world.servers["127.66.0.3"]
    changes = {f"s.{hoster}": "A 127.66.0.29"}
    if errs == "the zone above, with an address":
        changes = {host: "A 127.66.0.27"}
    elif errs != "the zone above":
        server, tld = provider.world.servers["127.66.0.29"], zones[1]
        for zone in (provider.world.tld, *zones):
            zone.add(f"{hoster}. NS t.{hoster}.").add(f"t.{hoster}. A 127.66.0.29")
        changes = {} if errs == "the zone of the name server" else {host: None}
    with one_shows(provider, server, tld, records=changes):
        time.sleep(6)
        reason = assert_gets_nothing(sandbox, customers[A][0], A, below, 3 * TRIES)
        if changes != {host: "A 127.66.0.27"}:  # what only one gives is looked for in its own zone
            assert "do not agree" in reason and hoster in reason, reason
        assert is_active(sandbox, below)


def test_a_new_owner_is_not_refused_for_glue_that_differs(sandbox, provider, customers):  # noqa: F811
    """One of the parent's parent's servers gives a further address, and lacks one; all of them say the same."""
    parent, parent_name, servers = new_parent(provider, 2)
    tld = provider.world.tld
    name = f"l.{parent_name}"
    stale = copy_of(tld)
    stale.remove(f"n0.{parent_name}.", "A").add(f"n0.{parent_name}. A {servers[1].address}")
    stale.add(f"n0.{parent_name}. A 127.66.0.29")
    provider.world.server(29, parent)
    server = provider.world.servers["127.66.0.3"]
    server.zones = [stale if each is tld else each for each in server.zones]
    try:
        had_and_lost(sandbox, provider, parent, name)
    finally:
        server.zones = [tld if each is stale else each for each in server.zones]
    customers[B][0].issue([f"www.{name}"])


def test_a_new_owner_is_not_refused_for_name_servers_that_need_each_other(sandbox, provider, customers):  # noqa: F811
    """Two zones, each on a server of its own and on one of the other's; the name's parent is on both, without glue."""
    one, two, parent_name = new_name(), new_name(), new_name()
    zones = []
    for own, other, last, theirs in ((one, two, 24, 25), (two, one, 25, 24)):
        lines = f"{own}. NS n.{own}.\n{own}. NS m.{other}.\nn.{own}. A 127.66.0.{last}\nm.{own}. A 127.66.0.{last}"
        zones.append(Zone(f"{own}.", lines))
        for line in lines.splitlines()[:3]:
            provider.world.tld.add(line)
    parent = Zone(f"{parent_name}.", f"{parent_name}. NS m.{one}.\n{parent_name}. NS m.{two}.")
    for server in (f"m.{one}", f"m.{two}"):
        provider.world.tld.add(f"{parent_name}. NS {server}.")
    for last in (24, 25):
        provider.world.server(last, *zones, parent)
    had_and_lost(sandbox, provider, parent, f"l.{parent_name}")
    customers[B][0].issue([f"www.l.{parent_name}"])


def parent_with_more_servers_than_its_parent_tells(provider, shared):  # noqa: F811
    parent, parent_name, _ = new_parent(provider, 1)
    parent.add(f"{parent_name}. NS n2.{parent_name}.").add(f"n2.{parent_name}. A 127.66.0.24")
    provider.world.server(24, parent)
    for address in shared:
        provider.world.servers[address].zones.append(parent)
    return parent, parent_name


@pytest.mark.parametrize("shared", [["127.66.0.3"], ["127.66.0.2", "127.66.0.3"]])
def test_a_new_owner_is_not_refused_where_the_zone_above_names_other_servers_itself(sandbox, provider, customers, shared):  # noqa: F811
    parent, parent_name = parent_with_more_servers_than_its_parent_tells(provider, shared)
    try:
        had_and_lost(sandbox, provider, parent, f"l.{parent_name}")
        customers[B][0].issue([f"www.l.{parent_name}"])
    finally:
        for address in shared:
            provider.world.servers[address].zones.remove(parent)


def test_servers_that_the_zone_above_names_itself_must_agree_too(sandbox, provider, customers):  # noqa: F811
    """The one of them that lags is named by one of the two alone."""
    parent, parent_name = parent_with_more_servers_than_its_parent_tells(provider, ["127.66.0.3"])
    name = f"l.{parent_name}"
    try:
        _, pair_a, _, _ = had_and_lost(sandbox, provider, parent, name)
        stale = copy_of(parent)
        redelegate(provider, stale, name, pair_a)
        provider.world.servers["127.66.0.24"].zones = [stale]
        time.sleep(6)
        assert_gets_nothing(sandbox, customers[A][0], A, name)
        assert is_active(sandbox, name)
    finally:
        provider.world.servers["127.66.0.3"].zones.remove(parent)


def test_a_new_owner_is_not_refused_where_a_server_denies_ns_and_refers_for_addresses(sandbox, provider, customers):  # noqa: F811
    parent, parent_name, servers = new_parent(provider, 1)

    def hook(query, wire, transport, server):
        question = query.question[0]
        if question.rdtype != TYPE("NS") or question.name == parent.origin:
            return None
        answer = Answer(query, False)
        server._deny(answer, parent, [question.name])
        return [answer.to_wire()]

    servers[1].hooks.append(hook)
    had_and_lost(sandbox, provider, parent, f"l.{parent_name}")


def test_no_zone_above_anothers_comes_by_one_servers_word(sandbox, provider, customers):  # noqa: F811
    """Whoever had it could have certificates for what is below, and its owner refused."""
    (client_a, _), (client_b, _) = customers[A], customers[B]
    world, above = provider.world, new_name()
    below, server = f"www.{above}", world.servers["127.66.0.3"]
    todays = Zone(f"{above}.", f"{above}. NS n.{above}.\nn.{above}. A 127.66.0.26")
    world.server(26, todays)
    world.tld.add(f"n.{above}. A 127.66.0.26")
    world.tld.add(f"{above}. NS n.{above}.")
    pair_b = add(sandbox, B, below)
    provider.zone(below, pair_b)
    provider.delegate(todays, below, pair_b)
    become_active(sandbox, B, below)
    pair_a = add(sandbox, A, above)
    provider.zone(above, pair_a)
    time.sleep(6)  # the referral that was kept
    stale = copy_of(world.tld)
    redelegate(provider, stale, above, pair_a)
    server.zones = [stale if zone is world.tld else zone for zone in server.zones]
    try:
        assert_gets_nothing(sandbox, client_a, A, above, 2 * TRIES)
        assert is_active(sandbox, below)
    finally:
        server.zones = [world.tld if zone is stale else zone for zone in server.zones]
    assert wait_until(lambda: client_b.new_order([below]).status == 201, 30, pause=1.1)
