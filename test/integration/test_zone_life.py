"""A zone's life by DNS alone: pending -> active -> moved -> active; never by failures; and many orders share a parent's
answer."""

import threading
import time

from under_test import run, silent_name_servers, wait_until

SANDBOX_OPTIONS = ("--set", "dns.zone_pending_interval_seconds=1", "--set", "dns.zone_sweep_interval_seconds=1",
                   "--set", "dns.zone_moved_after=3", "--set", "dns.moved_zone_certificates=withdraw",
                   "--workers", "1")


def status(sandbox, zone):
    return sandbox.admin.get(f"zones/{zone}")["status"]


def reaches(sandbox, zone, wanted, seconds=60):
    return wait_until(lambda: status(sandbox, zone) == wanted, seconds, pause=0.3)


def edge_events(sandbox):
    return run(["redis-cli", "-s", sandbox["REDIS_SOCKET"], "XRANGE", "edge-events", "-", "+"]).stdout


def test_a_zone_becomes_active_by_itself_within_a_minute(own_sandbox):
    zone = own_sandbox.new_zone(is_delegated=False)
    assert status(own_sandbox, zone) == "pending"
    own_sandbox.dns("delegate", zone)
    assert reaches(own_sandbox, zone, "active")


def test_a_zone_that_leaves_moves_only_after_repeated_negatives_and_comes_back(own_sandbox):
    zone = own_sandbox.new_zone()
    client = own_sandbox.client()
    client.issue([f"www.{zone}"])
    own_sandbox.dns("undelegate", zone)
    assert reaches(own_sandbox, zone, "moved")
    shown = own_sandbox.admin.get(f"zones/{zone}")
    assert shown["negatives"] >= 3 and shown["reason"] and shown["evidence"]["queries"], shown
    assert "zone-withdrawn" in edge_events(own_sandbox)
    assert client.new_order([f"api.{zone}"]).problem == "unauthorized"
    own_sandbox.dns("delegate", zone)
    assert reaches(own_sandbox, zone, "active")
    assert "zone-restored" in edge_events(own_sandbox)
    client.issue([f"api.{zone}"])


def test_failures_never_move_a_zone(own_sandbox):
    """Its name servers are silent: that proves nothing about who owns it."""
    zone = own_sandbox.new_zone()
    with silent_name_servers(own_sandbox):
        assert wait_until(lambda: "no usable answer" in own_sandbox.admin.get(f"zones/{zone}")["reason"], 60, pause=0.5)
        assert status(own_sandbox, zone) == "active"
        assert own_sandbox.admin.get(f"zones/{zone}").get("negatives", 0) == 0
    assert wait_until(lambda: "delegated to" in own_sandbox.admin.get(f"zones/{zone}")["reason"], 60, pause=0.5)


def test_many_orders_for_one_zone_share_what_the_parent_says(own_sandbox):
    zone, each_sends = own_sandbox.new_zone(), 15
    clients = [own_sandbox.client() for _ in range(20)]
    replies = []

    def metric(name):
        return own_sandbox.admin.metrics().get(f"originca_dns_{name}_total", 0)

    def order(client, number):
        for at in range(each_sends):
            replies.append(client.new_order([f"n{number}-{at}.{zone}"]).status)

    checks, shared, started = metric("checks"), metric("shared"), time.monotonic()
    threads = [threading.Thread(target=order, args=(client, number)) for number, client in enumerate(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    asked = (metric("checks") - checks) - (metric("shared") - shared)
    assert replies == [201] * len(clients) * each_sends, replies
    # A referral stands for 200 ms; the sweep of other zones, once a second, asks for itself.
    assert asked <= (time.monotonic() - started) / 0.2 * 2 + 10, asked
