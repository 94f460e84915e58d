"""Zones that customers added and nobody delegated. Each zone is served by the name servers that were assigned to it and by
no other, as providers do it, so one server may have a zone that the next one denies. What a customer gets is asked where he
gets it: by ACME and REST orders."""

import itertools
import secrets
from contextlib import contextmanager, suppress

import pytest

from clients import serial_of
from dns_farm import EDGE, Farm, Keys, World, Zone
from rest_client import rest
from test_outward_texts import redis
from under_test import SandboxUnderTest, wait_until

SERVERS = {f"ns{at}.provider.test": f"127.66.0.1{at}" for at in (1, 2, 3)}  # so few that every two pairs share one
A, B = 1, 2
ORDERS = 8  # of each kind: one of them meets the server that has the zone
_number = itertools.count(1)


class Provider:
    """The tree, with zones that come and go; signed down to test."""

    def __init__(self, farm):
        self.world = farm.world = World(is_signed=True, shop_signed=False)
        for server in self.world.at(11, 12, 13):
            server.zones = [self.world.provider]
        self.world.tld.add("ns3.provider.test. A 127.66.0.13")

    def zone(self, name, servers, keys=None):
        """A zone on these of the provider's servers, proxied; whether it is delegated is another matter."""
        lines = [f"{name}. NS {server}." for server in servers]
        lines += [f"{owner} A 203.0.113.10" for owner in (f"{name}.", f"*.{name}.")]
        made = Zone(f"{name}.", "\n".join(lines), keys)
        for server in servers:
            self.world.servers[SERVERS[server]].zones.append(made)
        return made

    def delegate(self, parent, name, servers, ds=None):
        for server in servers:
            parent.add(f"{name}. NS {server}.")
        if ds:
            parent.add(f"{name}. DS {ds}")

    def undelegate(self, parent, name):
        parent.remove(f"{name}.", "NS")


@pytest.fixture(scope="module")
def farm():
    farm = Farm()
    yield farm
    farm.close()


@pytest.fixture(scope="module")
def provider(farm):
    return Provider(farm)


@contextmanager
def started(directory, farm, provider, sweep_seconds=5):
    (directory / "hints").write_text(". 3600 NS a.root.\na.root. 3600 A 127.66.0.1\n")
    (directory / "anchor").write_text(provider.world.anchor())
    # CAA records are asked for all the way up, which hinders an attacker only as long as somebody's server errs there.
    settings = ["dns.caa_mode=off", "acme.recheck_after_seconds=0", "dns.zone_pending_interval_seconds=3600", "dns.dns_share_ms=0",
                f"dns.trust_anchor_file={directory / 'anchor'}", "dns.zone_moved_after=3",
                "dns.reserved_zones=edge.network.test", "dns.moved_zone_certificates=revoke", "dns.left_zone_revoke_after_seconds=1",
                f"dns.zone_sweep_interval_seconds={sweep_seconds}"]
    sandbox = SandboxUnderTest(directory / "box", "--workers", "1", "--root-hints", directory / "hints", "--dns-port",
                               farm.port, *(word for name in SERVERS for word in ("--name-server", name)),
                               *(word for prefix in EDGE for word in ("--edge-prefix", prefix)),
                               *(word for setting in settings for word in ("--set", setting)))
    try:
        yield sandbox.up()
        sandbox.down()
    finally:
        with suppress(Exception):
            sandbox.script("down", check=False)


@pytest.fixture(scope="module")
def sandbox(farm, provider, tmp_path_factory):
    with started(tmp_path_factory.mktemp("hidden"), farm, provider) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def customers(sandbox):
    clients = {number: (sandbox.client(number), rest(sandbox, number)) for number in (A, B)}
    yield clients
    for client, _ in clients.values():
        client.close()


def add(sandbox, customer, name):
    """The name servers assigned."""
    owner = sandbox["CUSTOMER" if customer == A else "CUSTOMER_2"]
    return sandbox.admin.post("zones", {"name": name, "customer": owner})["name_servers"]


def check(sandbox, customer, name):
    owner = sandbox["CUSTOMER" if customer == A else "CUSTOMER_2"]
    return sandbox.admin.post(f"zones/{name}/check?customer={owner}")


def check_until_moved(sandbox, customer, name):
    """The statuses; a check that finds what another one found in that second is that one."""
    statuses = []
    while statuses[-1:] != ["moved"] and len(statuses) < 12:
        statuses.append(check(sandbox, customer, name)["status"])
    return statuses


def overlapping(sandbox, provider, child="www", keys=None):
    """(l, its zone file, B's pair, CHILD.l, A's pair): B's zone l, delegated to his pair, and A's zone below with a pair that shares
    exactly one server with it. A's zone is served by her pair."""
    while True:
        above = f"l{next(_number)}-{secrets.token_hex(2)}.test"
        pair_b, pair_a = add(sandbox, B, above), add(sandbox, A, f"{child}.{above}")
        if pair_a != pair_b:
            break
    zone = provider.zone(above, pair_b, keys)
    provider.delegate(provider.world.tld, above, pair_b, keys.ds(f"{above}.") if keys else None)
    provider.zone(f"{child}.{above}", pair_a)
    return above, zone, pair_b, f"{child}.{above}", pair_a


def outcomes(customers, customer, name):
    """{status: how often} of orders by ACME and REST."""
    client, api = customers[customer]
    found = [client.new_order([name]).status for _ in range(ORDERS)]
    found += [api.create([name]).status for _ in range(ORDERS)]
    return {status: found.count(status) for status in set(found)}


def assert_refused(customers, customer, *names):
    for name in names:
        found = outcomes(customers, customer, name)
        assert set(found) <= {400, 403, 503}, f"{name}: {found}"


def assert_issued(customers, customer, name):
    assert outcomes(customers, customer, name) == {201: ORDERS, 200: ORDERS}
    customers[customer][0].issue([name])


def bring_to(sandbox, provider, state, above, pair):
    """B's zone, delegated to his pair at the end."""
    if state == "pending":
        return
    check(sandbox, B, above)
    if state == "paused":
        sandbox.admin.post(f"zones/{above}/pause")
    if state == "moved":
        provider.undelegate(provider.world.tld, above)
        provider.delegate(provider.world.tld, above, ["ns1.foreign.test"])
        assert "moved" in check_until_moved(sandbox, B, above)
        provider.undelegate(provider.world.tld, above)
        provider.delegate(provider.world.tld, above, pair)


@pytest.mark.parametrize("state", ["pending", "active", "paused", "moved"])
def test_a_zone_below_anothers_gets_nothing_whatever_the_state_of_his(sandbox, provider, customers, state):
    above, _, pair_b, below, _ = overlapping(sandbox, provider)
    bring_to(sandbox, provider, state, above, pair_b)
    owner = sandbox["CUSTOMER_2"]
    assert sandbox.admin.get(f"zones/{above}?customer={owner}")["status"] == state
    assert_refused(customers, A, below, f"api.{below}", f"*.{below}")
    assert check(sandbox, A, below)["status"] == "pending"


def add_below(sandbox, provider, app, pair):
    """A's zone y.APP on a pair of its own, delegated by her zone APP."""
    below = f"y.{app}"
    for hidden in provider.world.servers[SERVERS[pair[0]]].zones:
        if hidden.origin.to_text() == f"{app}.":
            provider.delegate(hidden, below, made := add(sandbox, A, below))
    provider.zone(below, made)


def test_a_zone_below_a_former_zone_of_ones_own_gets_nothing(sandbox, provider, customers):
    """B once delegated app.l to A, and does no more: it is active still, and proves nothing for y.app.l."""
    above, zone, pair_b, app, pair_a = overlapping(sandbox, provider, "app")
    provider.delegate(zone, app, pair_a)
    assert check(sandbox, A, app)["status"] == check(sandbox, B, above)["status"] == "active"
    provider.undelegate(zone, app)
    add_below(sandbox, provider, app, pair_a)
    assert_refused(customers, A, f"y.{app}")


def test_a_zone_that_a_hidden_zone_refers_to_gets_nothing(sandbox, provider, customers):
    """l has names below both, so that its own servers do not deny them."""
    _, zone, _, app, pair_a = overlapping(sandbox, provider, "app")
    zone.add(f"x.{app}. A 203.0.113.10").add(f"x.y.{app}. A 203.0.113.10")
    add_below(sandbox, provider, app, pair_a)
    assert_refused(customers, A, f"y.{app}")


def test_names_of_ones_own_for_the_providers_servers_prove_no_more(sandbox, provider, customers):
    """l is delegated to ns1.l and ns2.l, which have the addresses of the provider's, and both have A's zone too."""
    above = f"l{next(_number)}-{secrets.token_hex(2)}.test"
    below = f"www.{above}"
    pair = add(sandbox, A, below)
    names = [f"ns{at}.{above}" for at in (1, 2)]
    lines = [f"{above}. NS {name}." for name in names]
    lines += [f"{name}. A {SERVERS[server]}" for name, server in zip(names, pair)]
    zone = Zone(f"{above}.", "\n".join(lines))
    zone.add(f'www.{above}. TXT "a name of the zone"')
    for line in lines:
        provider.world.tld.add(line)
    for server in pair:
        provider.world.servers[SERVERS[server]].zones.append(zone)
    provider.zone(below, pair)
    assert_refused(customers, A, below)
    assert "show no delegation" in check(sandbox, A, below)["reason"]


def test_a_zone_above_that_is_delegated_to_another_customer_by_now_proves_nothing(sandbox, provider, customers):
    """A has l too, and it was hers; all servers of B's l have her zone below."""
    while True:
        above = f"l{next(_number)}-{secrets.token_hex(2)}.test"
        pair_a, pair_b = add(sandbox, A, above), add(sandbox, B, above)
        below = f"www.{above}"
        if add(sandbox, A, below) == pair_b:
            break
    zone = provider.zone(above, pair_a)
    provider.delegate(provider.world.tld, above, pair_a)
    assert check(sandbox, A, above)["status"] == "active"
    for server in pair_a:
        provider.world.servers[SERVERS[server]].zones.remove(zone)
    provider.undelegate(provider.world.tld, above)
    provider.delegate(provider.world.tld, above, pair_b)
    provider.zone(above, pair_b).add(f'www.{above}. TXT "a name of the zone"')
    provider.zone(below, pair_b)
    assert sandbox.admin.get(f"zones/{above}?customer={sandbox['CUSTOMER']}")["status"] == "active"  # until the sweep comes
    assert_refused(customers, A, below)


def test_a_zone_below_ones_own_on_the_same_servers_is_issued_for(sandbox, provider, customers):
    above = f"l{next(_number)}-{secrets.token_hex(2)}.test"
    below = f"www.{above}"
    pair_above, pair_below = add(sandbox, A, above), add(sandbox, A, below)
    zone = provider.zone(above, pair_above)
    provider.delegate(zone, below, pair_below)
    provider.delegate(provider.world.tld, above, pair_above)
    for server in set(pair_above) | set(pair_below):  # all that serve the zone above have the one below too
        if all(each.origin.to_text() != f"{below}." for each in provider.world.servers[SERVERS[server]].zones):
            provider.world.servers[SERVERS[server]].zones.append(
                Zone(f"{below}.", "\n".join([*(f"{below}. NS {each}." for each in pair_below),
                                             f"{below}. A 203.0.113.10"])))
    assert check(sandbox, A, below)["status"] == "active"
    assert_issued(customers, A, below)


def test_a_delegation_counts_that_only_one_of_the_servers_above_can_show(sandbox, provider, customers):
    _, zone, _, below, pair_a = overlapping(sandbox, provider)
    provider.delegate(zone, below, pair_a)
    assert check(sandbox, A, below)["status"] == "active"
    assert_issued(customers, A, below)


def test_a_signed_delegation_counts_also_where_no_server_can_show_the_referral(sandbox, provider, customers):
    keys, own = Keys(), Keys()
    while True:
        above, below = (above := f"l{next(_number)}-{secrets.token_hex(2)}.test"), f"www.{above}"
        pair = add(sandbox, B, above)
        if add(sandbox, A, below) == pair:
            break
    zone = provider.zone(above, pair, keys)
    provider.delegate(provider.world.tld, above, pair, keys.ds(f"{above}."))
    provider.zone(below, pair, own)
    zone.add(f'{below}. TXT "no delegation"')
    assert_refused(customers, A, below)
    zone.remove(f"{below}.", "TXT")
    provider.delegate(zone, below, ["ns1.foreign.test"])  # unsigned, and to whom nobody shows
    assert_refused(customers, A, below)
    provider.undelegate(zone, below)
    provider.delegate(zone, below, pair, own.ds(f"{below}."))
    assert_issued(customers, A, below)


def test_a_zone_whose_delegation_went_does_not_stay_active(sandbox, provider, customers):
    """All servers of the zone above have it by now, so none shows that it is gone; nor does any show that it is there."""
    _, zone, pair_b, below, pair_a = overlapping(sandbox, provider)
    provider.delegate(zone, below, pair_a)
    assert check(sandbox, A, below)["status"] == "active"
    provider.undelegate(zone, below)
    zone.add(f'{below}. TXT "a name of the zone"')
    hidden = next(each for each in provider.world.servers[SERVERS[pair_a[0]]].zones if each.origin.to_text() == f"{below}.")
    for server in set(pair_b) - set(pair_a):
        provider.world.servers[SERVERS[server]].zones.append(hidden)
    statuses = check_until_moved(sandbox, A, below)
    assert statuses[:2] == ["active", "active"] and statuses[-1] == "moved", statuses
    assert "show no delegation" in sandbox.admin.get(f"zones/{below}?customer={sandbox['CUSTOMER']}")["reason"]
    assert_refused(customers, A, below)


def test_a_zone_that_only_seems_to_have_moved_keeps_its_certificates_until_a_server_shows_it(sandbox, provider, customers):
    """By policy they are revoked when a zone was left. Whoever has the zone above brings about that nobody shows the delegation."""
    _, zone, pair_b, below, pair_a = overlapping(sandbox, provider)
    provider.delegate(zone, below, pair_a)
    shown = check(sandbox, A, below)
    assert shown["status"] == "active"
    serial = serial_of(customers[A][0].issue([f"w.{below}"])[1])
    provider.undelegate(zone, below)
    zone.add(f'{below}. TXT "a name of the zone"')
    hidden = next(each for each in provider.world.servers[SERVERS[pair_a[0]]].zones if each.origin.to_text() == f"{below}.")
    servers = [provider.world.servers[SERVERS[server]] for server in {*pair_b, *pair_a}]
    for server in servers:
        if hidden not in server.zones:
            server.zones.append(hidden)
    assert check_until_moved(sandbox, A, below)[-1] == "moved"

    def left_since():
        return redis(sandbox, "ZSCORE", "zones-left", shown["id"])

    first = left_since()
    assert first and wait_until(lambda: left_since() not in ("", first), 30)
    assert sandbox.admin.get(f"certificates/{serial}")["status"] == "valid"
    for server in servers:
        server.zones.remove(hidden)
    assert wait_until(lambda: sandbox.admin.get(f"certificates/{serial}")["status"] == "revoked", 60)


@pytest.mark.parametrize("name", ["provider.test", "ns1.provider.test", "www.ns2.provider.test"])
def test_no_customer_has_a_zone_where_the_providers_name_servers_are(sandbox, name):
    with pytest.raises(Exception, match="name server of the provider") as refused:
        add(sandbox, A, name)
    assert refused.value.status == 400


@pytest.mark.parametrize("name", ["network.test", "edge.network.test", "www.edge.network.test"])
def test_no_customer_has_a_zone_where_other_names_of_the_provider_are(sandbox, name):
    with pytest.raises(Exception, match="edge.network.test, a name that the provider keeps") as refused:
        add(sandbox, A, name)
    assert refused.value.status == 400


def test_names_beside_what_the_provider_keeps_are_customers(sandbox):
    assert add(sandbox, A, f"beside-edge{secrets.token_hex(4)}.network.test")
