"""Of several DNS checks the one that began last says whose a zone is, however fresh an order's own check is."""

import time

import pytest

from acme_raw import make_csr, make_key
from fence_kit import redis
from verify import load_chain

SANDBOX_OPTIONS = ("--workers", "2", "--set", "acme.recheck_after_seconds=600", "--set", "signer.evidence_max_age_seconds=600",
                   "--set", "dns.zone_moved_after=2", "--set", "dns.dns_share_ms=0", "--set", "dns.dns_referral_max_ttl=0")


def ready_order(box, client, zone):
    name = f"www.{zone}"
    order = client.new_order([name]).expect(201).json
    time.sleep(1.1)  # checks are told apart by the second in which they began
    return order, make_csr(make_key("p256"), [name])


def lose(box, zone, checks):
    """What the zone is then: one negative check does not make it move yet."""
    box.dns("undelegate", zone)
    for _ in range(checks):
        shown = box.admin.post(f"zones/{zone}/check")
        time.sleep(1.1)
    return shown["status"]


@pytest.mark.parametrize("checks, status", [(1, "active"), (2, "moved")])
def test_an_order_whose_zone_failed_a_newer_check_gets_none_until_the_delegation_is_back(own_sandbox, checks, status):
    box, client = own_sandbox, own_sandbox.client()
    zone = box.new_zone()
    order, csr = ready_order(box, client, zone)
    assert lose(box, zone, checks) == status
    reply = client.finalize(order, csr)
    assert reply.problem == "unauthorized" and zone in reply.text, reply.text
    assert box.certificates(zone) == []
    box.dns("delegate", zone)
    done = client.finalize(order, csr).expect(200).json
    assert done["status"] == "valid"
    assert load_chain(client.post(done["certificate"]).text)
    assert box.admin.get(f"zones/{zone}")["status"] == "active"
    client.close()


def test_a_check_of_the_same_second_that_did_not_hold_counts(own_sandbox):
    """Which of the two came first nobody can tell."""
    box, client = own_sandbox, own_sandbox.client()
    zone = box.new_zone()
    order, csr = ready_order(box, client, zone)
    lose(box, zone, 2)
    key = f"zone:{box.admin.get(f'zones/{zone}')['id']}"
    order_key = f"order:{order['finalize'].split('/')[-1]}"
    redis(box, "HSET", order_key, "checked", redis(box, "HGET", key, "checked"))
    reply = client.finalize(order, csr)
    assert reply.problem == "unauthorized" and zone in reply.text, reply.text
    assert box.certificates(zone) == []
    client.close()


def test_a_fresh_order_of_a_zone_that_no_check_has_denied_since_asks_no_dns(own_sandbox):
    box, client = own_sandbox, own_sandbox.client()
    zone = box.new_zone()
    order, csr = ready_order(box, client, zone)
    box.check_zone(zone, "active")
    box.dns("undelegate", zone)
    assert client.finalize(order, csr).expect(200).json["status"] == "valid"
    client.close()
