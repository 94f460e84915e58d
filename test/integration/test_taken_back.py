"""l is B's; he has delegated www.l to A's name servers, and takes that back. The sweep would find it out in an hour."""

import pytest

from test_hidden_zones import A, B, add, check, customers, farm, provider, started  # noqa: F401
from test_ownership_attacks import new_name
from under_test import wait_until
from verify import der_of, load_chain

RECOVERY = 90


@pytest.fixture(scope="module")
def sandbox(farm, provider, tmp_path_factory):  # noqa: F811
    with started(tmp_path_factory.mktemp("back"), farm, provider, sweep_seconds=3600) as sandbox:
        yield sandbox


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
    for server in provider.world.servers.values():
        server.zones = [each for each in server.zones if each is not zone_a]
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
