"""Names that change hands between customers, with a sweep that would find it out in an hour. `lent`: l is B's; he has delegated
www.l to A's name servers, and takes that back."""

import secrets
import time
from contextlib import contextmanager

import pytest

from admin_api import AdminError
from dns_farm import Zone
from test_hidden_zones import A, B, ORDERS, add, assert_issued, check, customers, farm, provider, started  # noqa: F401
from test_ownership_attacks import new_name
from under_test import wait_until
from verify import der_of, load_chain

RECOVERY = 90


@pytest.fixture(scope="module")
def sandbox(farm, provider, tmp_path_factory):  # noqa: F811
    with started(tmp_path_factory.mktemp("back"), farm, provider, sweep_seconds=3600) as sandbox:
        yield sandbox


def take_out(provider, zone):  # noqa: F811
    for server in provider.world.servers.values():
        server.zones = [each for each in server.zones if each is not zone]


@pytest.fixture
def lent(sandbox, provider, customers):  # noqa: F811
    """(www.l, a certificate of B's of before): both zones are active, and B has taken the delegation back."""
    (client_a, _), (client_b, _) = customers[A], customers[B]
    while True:
        above = new_name()
        below = f"www.{above}"
        pair_b, pair_a = add(sandbox, B, above), add(sandbox, A, below)
        if pair_a != pair_b:  # a server of his without her zone shows the delegation
            break
    zone_b = provider.zone(above, pair_b)
    provider.delegate(provider.world.tld, above, pair_b)
    assert check(sandbox, B, above)["status"] == "active"
    _, chain, _ = client_b.issue([below])
    zone_a = provider.zone(below, pair_a)
    provider.delegate(zone_b, below, pair_a)
    shown = check(sandbox, A, below)
    assert shown["status"] == "active", shown["reason"]
    client_a.new_order([below]).expect(201)
    provider.undelegate(zone_b, below)
    take_out(provider, zone_a)
    return below, load_chain(chain)[0]


def test_who_has_the_zone_above_gets_a_name_back_that_he_delegates_no_more(sandbox, lent, customers):  # noqa: F811
    below, _ = lent
    client, rest = customers[B]
    seen = []

    def is_his():
        seen.append(client.new_order([below]))
        return seen[-1].status == 201

    assert wait_until(is_his, RECOVERY, pause=3), seen[-1].text
    assert client.issue([below]) and rest.create([below]).status == 200


def test_who_had_a_name_from_above_revokes_nothing_of_its_owners(sandbox, lent, customers):  # noqa: F811
    below, leaf = lent
    reply = customers[A][0].revoke(der_of(leaf))
    assert (reply.status, reply.problem) == (403, "unauthorized"), reply.text
    assert sandbox.admin.get(f"certificates/{leaf.serial_number:x}")["status"] == "valid"


def strangers_add(sandbox, provider, name, count=4):  # noqa: F811
    """Under that many accounts, served where they are assigned to, and delegated by nobody; the refusals."""
    refusals = []
    for _ in range(count):
        stranger = f"s{secrets.token_hex(4)}"
        sandbox.admin.post("customers", {"name": stranger})
        try:
            servers = sandbox.admin.post("zones", {"name": name, "customer": stranger})["name_servers"]
            provider.zone(name, servers)
        except AdminError as error:
            refusals.append(str(error))
    return refusals


def test_strangers_who_add_the_name_above_keep_nobody_from_getting_his_back(sandbox, provider, lent, customers):  # noqa: F811
    """Were all servers of B's l theirs too, nothing that these say would show that A's www.l is delegated no more."""
    below, _ = lent
    refusals = strangers_add(sandbox, provider, below.partition(".")[2])
    client, seen = customers[B][0], []

    def is_his():
        seen.append(client.new_order([below]))
        return seen[-1].status == 201

    assert wait_until(is_his, RECOVERY, pause=3), seen[-1].text
    assert refusals and "keeps free of further zones of this name" in refusals[-1], refusals


def test_strangers_who_add_the_name_above_have_no_owner_below_it_refused(sandbox, provider, customers):  # noqa: F811
    """B's l is active, and delegates www.l to A; both have a server without the other's zone."""
    while True:
        above = new_name()
        below = f"www.{above}"
        pair_b, pair_a = add(sandbox, B, above), add(sandbox, A, below)
        if pair_a != pair_b:
            break
    zone_b = provider.zone(above, pair_b)
    provider.delegate(provider.world.tld, above, pair_b)
    assert check(sandbox, B, above)["status"] == "active"
    provider.zone(below, pair_a)
    provider.delegate(zone_b, below, pair_a)
    assert check(sandbox, A, below)["status"] == "active"
    strangers_add(sandbox, provider, above)
    customers[A][0].close()  # a connection that has been idle for long
    assert_issued(customers, A, below)


@contextmanager
def lagging(provider):
    """One of the parent's two servers shows what there was when this began."""
    world = provider.world
    stale = Zone("test.", "", world.keys["test."])
    stale.sets = {key: rrset.copy() for key, rrset in world.tld.sets.items()}
    server = world.servers["127.66.0.3"]
    server.zones = [stale if zone is world.tld else zone for zone in server.zones]
    try:
        yield
    finally:
        server.zones = [world.tld if zone is stale else zone for zone in server.zones]


def test_a_server_of_the_parents_that_lags_behind_gives_a_name_back_to_nobody(sandbox, provider, customers):  # noqa: F811
    """Each check asks one of them: now the one, now the other."""
    (client_a, _), (client_b, _) = customers[A], customers[B]
    name = new_name()
    pair_a, pair_b = add(sandbox, A, name), add(sandbox, B, name)
    zone_a = provider.zone(name, pair_a)
    provider.delegate(provider.world.tld, name, pair_a)
    assert check(sandbox, A, name)["status"] == "active"
    client_a.new_order([f"www.{name}"]).expect(201)
    reasons = []
    with lagging(provider):
        provider.undelegate(provider.world.tld, name)
        provider.delegate(provider.world.tld, name, pair_b)
        take_out(provider, zone_a)
        provider.zone(name, pair_b)
        for _ in range(ORDERS):
            shown = check(sandbox, B, name)
            reasons.append(shown["reason"])
            assert shown["status"] == "pending", shown
            time.sleep(1.1)
        assert any("do not agree" in each for each in reasons), reasons
    assert check(sandbox, B, name)["status"] == "active"
    _, chain, _ = client_b.issue([f"www.{name}"])
    time.sleep(1.1)
    provider.undelegate(provider.world.tld, name)
    provider.delegate(provider.world.tld, name, pair_a)  # as if it had never changed
    with lagging(provider):
        provider.undelegate(provider.world.tld, name)
        provider.delegate(provider.world.tld, name, pair_b)
        for number in range(ORDERS):
            reply = client_a.new_order([f"a{number}.{name}"])
            assert reply.status in (400, 403, 429), reply.text
            assert check(sandbox, A, name)["status"] == "moved"
            time.sleep(1.1)
        assert client_a.revoke(der_of(load_chain(chain)[0])).status == 403
        owner = sandbox["CUSTOMER_2"]
        assert sandbox.admin.get(f"zones/{name}?customer={owner}")["status"] == "active"


def test_while_the_parents_servers_differ_neither_customer_gets_anything(sandbox, provider, customers):  # noqa: F811
    """The new one cannot have the name, the former one keeps nothing by the server that lags behind; nor does she lose it by the other."""
    (client_a, _), (client_b, _) = customers[A], customers[B]
    name, tld = new_name(), provider.world.tld
    pair_a, pair_b = add(sandbox, A, name), add(sandbox, B, name)
    provider.zone(name, pair_a)
    provider.delegate(tld, name, pair_a)
    assert check(sandbox, A, name)["status"] == "active"
    time.sleep(1.1)
    with lagging(provider):
        provider.undelegate(tld, name)
        provider.delegate(tld, name, pair_b)
        provider.zone(name, [server for server in pair_b if server not in pair_a])

        def has_seen_both():
            time.sleep(1.1)
            return "not all yours" in check(sandbox, A, name)["reason"]

        assert wait_until(has_seen_both, 40), check(sandbox, A, name)
        for number in range(ORDERS):
            time.sleep(1.1)
            for client in (client_a, client_b):
                reply = client.new_order([f"a{number}.{name}"])
                assert reply.status in (400, 403, 429), reply.text
            assert "do not agree" in check(sandbox, A, name)["reason"]
        assert check(sandbox, A, name)["status"] == "active"
    provider.undelegate(tld, name)
    provider.delegate(tld, name, pair_a)
    time.sleep(1.1)
    assert "not all yours" not in check(sandbox, A, name)["reason"]
    client_a.issue([f"www.{name}"])
