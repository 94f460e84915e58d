"""Checks of one zone at once ask its parent once; a referral stands for a moment, a denial for nobody who comes later."""

import json
import os
import time
from pathlib import Path

import dns.rdatatype
import pytest

from dns_farm import Farm, World, Zone
from under_test import run

CHECKS = 300
AT_THE_PARENT = (2, 3)


@pytest.fixture(scope="module")
def farm():
    farm = Farm()
    yield farm
    farm.close()


def with_zone(farm, is_signed=False):
    """A world with z0.test, which is not signed."""
    farm.world = World(is_signed)
    farm.world.tld.add("z0.test. NS ns1.provider.test.").add("z0.test. NS ns2.provider.test.")
    zone = Zone("z0.test.", """
        z0.test. NS ns1.provider.test.
        z0.test. NS ns2.provider.test.
        www.z0.test. A 203.0.113.10""")
    for server in (farm.world.ns1, farm.world.ns2):
        server.zones.append(zone)
    return farm.world


@pytest.fixture
def world(farm):
    return with_zone(farm)


def run_checks(farm, directory, count, at_once, share_ms, *options):
    """Checks of www.z0.test on one event loop; how many proved it."""
    (directory / "hints").write_text(". 3600 NS a.root.\na.root. 3600 A 127.66.0.1\n")
    result = run([Path(os.environ["ORIGINCA_BUILD"]) / "bench" / "bench-dns-check", "--root-hints", directory / "hints",
                  "--port", farm.port, "--count", count, "--concurrency", at_once, "--share-ms", share_ms,
                  "--query-timeout-ms", 10000, *options], check=False, timeout=120)
    return json.loads(result.stdout)["good"]


def asked(world, question, *servers):
    return sum(each[:2] == question for server in world.at(*servers) for each in server.asked)


def delay(seconds):
    return lambda query, wire, transport, server: [seconds, server.resolve(query).to_wire()]


def test_checks_at_once_ask_the_parent_once(farm, world, tmp_path):
    assert run_checks(farm, tmp_path, CHECKS, CHECKS, 200) == CHECKS
    assert asked(world, ("z0.test.", "NS"), *AT_THE_PARENT) == 1
    assert asked(world, ("test.", "NS"), 1) == 1
    assert asked(world, ("www.z0.test.", "A"), 11, 12) >= CHECKS  # the zone's own answers are nobody else's


def test_checks_that_come_while_the_parent_thinks_wait_with_the_first(farm, world, tmp_path):
    for server in world.at(*AT_THE_PARENT):
        server.hooks.append(delay(0.3))
    assert run_checks(farm, tmp_path, CHECKS, CHECKS, 1) == CHECKS
    assert asked(world, ("z0.test.", "NS"), *AT_THE_PARENT) == 1


def test_a_referral_stands_for_the_checks_that_follow(farm, world, tmp_path):
    assert run_checks(farm, tmp_path, 10, 1, 10000) == 10
    assert asked(world, ("z0.test.", "NS"), *AT_THE_PARENT) == 1


def test_without_sharing_each_check_asks(farm, world, tmp_path):
    assert run_checks(farm, tmp_path, 10, 5, 0) == 10
    assert asked(world, ("z0.test.", "NS"), *AT_THE_PARENT) == 10


def test_a_denial_serves_only_those_who_waited_for_it(farm, world, tmp_path):
    world.tld.remove("z0.test.")
    assert run_checks(farm, tmp_path, CHECKS, CHECKS, 10000) == 0
    assert asked(world, ("z0.test.", "NS"), *AT_THE_PARENT) == 1
    assert run_checks(farm, tmp_path, 10, 1, 10000) == 0
    assert asked(world, ("z0.test.", "NS"), *AT_THE_PARENT) == 1 + 10


def test_silent_parents_fail_all_who_wait_and_are_asked_for_one_of_them(farm, world, tmp_path):
    for server in world.at(*AT_THE_PARENT):
        server.hooks.append(lambda query, wire, transport, server: [b"\0" * 12])  # three of them, and TCP is next
    assert run_checks(farm, tmp_path, CHECKS, CHECKS, 200, "--query-timeout-ms", 3000) == 0
    assert 0 < asked(world, ("z0.test.", "NS"), *AT_THE_PARENT) < CHECKS


class ShortLived:
    """Signs records of one kind with an end that is `seconds` after the first of them was asked for."""

    def __init__(self, kind, seconds):
        self.kind, self.seconds, self.end = dns.rdatatype.from_text(kind), seconds, None

    def __call__(self, rrset, zone):
        if rrset.rdtype != self.kind:
            return zone.keys.sign(rrset, zone.origin)
        self.end = self.end or int(time.time()) + self.seconds
        return zone.keys.sign(rrset, zone.origin, expiration=self.end)


@pytest.mark.parametrize("kind, signer", [("DNSKEY", "tld"), ("DS", "root")])
def test_keys_are_kept_no_longer_than_their_signatures_are_valid(farm, tmp_path, kind, signer):
    """The name servers of test. may be kept for a minute; what proves its keys expires before the last check begins,
    and late enough for the first one on a machine that is busy."""
    world = with_zone(farm, is_signed=True)
    getattr(world, signer).sign_with = ShortLived(kind, 7)
    for server in world.at(*AT_THE_PARENT):
        server.hooks.append(lambda query, wire, transport, server:
                            delay(1)(query, wire, transport, server) if "z0" in str(query.question[0].name) else None)
    (tmp_path / "anchor").write_text(world.anchor())
    good = run_checks(farm, tmp_path, 12, 1, 0, "--trust-anchor", tmp_path / "anchor")
    assert 1 <= good < 12
