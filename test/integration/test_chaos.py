"""Kills, a silent Redis and restored copies of its data, while customers issue, revoke and have rights ended, on one host
and on two: nothing that was acknowledged is undone.

ORIGINCA_SEED replays a run (the seed is in every failure); ORIGINCA_CHAOS=full has 300 kills and 20 restored copies."""

import contextlib
import json
import os
import random
from collections import Counter

import pytest

from box import Sandbox
from chaos_actors import Actor, Fleet
from chaos_check import check_all
from chaos_plan import RECOVERY, Chaos, SecondHost, first_host, make_plan
from under_test import wait_until

# Small enough that kills fall into checkpoints and new segments too.
SANDBOX_OPTIONS = ("--workers", "2", "--set", "signer.checkpoint_records=100", "--set", "signer.ledger_segment_bytes=65536")
ACTORS = 6


def extent(quick):
    """(rounds, kills in each, rights of each kind that a customer has to lose); every round ends with a restored copy."""
    if os.environ.get("ORIGINCA_CHAOS") == "full":
        return 20, 15, 12
    return (2, 6, 3) if quick else (6, 10, 4)


@pytest.fixture(scope="module")
def seed():
    return os.environ.get("ORIGINCA_SEED") or str(random.SystemRandom().randrange(10 ** 9))


@contextlib.contextmanager
def hosts_of(sandbox, count):
    first = first_host(sandbox)
    if count == 1:
        yield [first]
        return
    second = SecondHost(sandbox)
    try:
        yield [first, second]
    finally:
        second.end()
        sandbox.admin_command("ledger", "excuse", "second", "--for-good", check=False)


def onboard(sandbox, fleet, seed, spare):
    actors = [Actor(number, seed, fleet, spare) for number in range(ACTORS)]
    tree = Sandbox(sandbox.directory).tree
    for actor in actors:
        for zone, servers in actor.servers.items():
            tree.delegate(zone, servers)
    tree.commit()
    admin = fleet.hosts[0].admin
    for zone in [zone for actor in actors for zone in actor.zones]:
        assert wait_until(lambda: admin.post(f"zones/{zone}/check")["status"] == "active", 30, pause=0.2), zone
    return actors


def rest_all(actors):
    """Each ends what it is at; the first fault of any."""
    for actor in actors:
        actor.goes.clear()
    for actor in actors:
        assert actor.rests.wait(2 * RECOVERY), f"{actor} does not come to an end"
    raise_fault(actors)


def raise_fault(actors):
    for actor in actors:
        if actor.fault is not None:
            raise actor.fault


def run_round(chaos, actors, steps):
    for actor in actors:
        actor.rests.clear()
        actor.goes.set()
    for step in steps:
        chaos.execute(step)
        raise_fault(actors)
    chaos.wait_ready()
    rest_all(actors)
    check_all(actors, chaos.hosts)


def check_no_order_has_two(hosts):
    """What recovery revoked was never given out: over a Redis that forgot the first, a host may have made another attempt."""
    revoked = [json.loads(line) for host in hosts for line in host.ledger_lines("revoked")]
    orphans = {record["serial"] for record in revoked if record["by"] == "recovery"}
    issued = [json.loads(line) for host in hosts for line in host.ledger_lines("issued")]
    orders = Counter(record["order"] for record in issued if record["serial"] not in orphans)
    assert not [order for order, count in orders.items() if count > 1]


def end_all(actors):
    for actor in actors:
        actor.is_over = True
        actor.goes.set()
    for actor in actors:
        actor.join(RECOVERY)


def test_one_seed_makes_one_plan():
    assert make_plan("7", 6, 10, 2) == make_plan("7", 6, 10, 2) != make_plan("8", 6, 10, 2)
    plan = make_plan("7", 6, 10, 2)
    assert [sum(step.kills for step in steps) for steps in plan] == [10] * 6
    assert all(steps[-1].victim == "restore" and steps[0].copies for steps in plan)


@pytest.mark.parametrize("count", [1, 2], ids=["one-host", "two-hosts"])
def test_nothing_acknowledged_is_undone(own_sandbox, tmp_path, seed, quick, count):
    rounds, kills, spare = extent(quick)
    print(f"ORIGINCA_SEED={seed}")
    with hosts_of(own_sandbox, count) as hosts:
        fleet = Fleet(own_sandbox, hosts)
        chaos = Chaos(own_sandbox, hosts, tmp_path, lambda: sum(each.acknowledged for each in actors))
        chaos.wait_ready()
        actors = onboard(own_sandbox, fleet, f"{seed} {count}", spare)
        fleet.restoring = lambda: chaos.restoring
        for actor in actors:
            actor.start()
        try:
            for steps in make_plan(f"{seed} {count}", rounds, kills, count):
                run_round(chaos, actors, steps)
            check_all(actors, hosts, only_sample=False)
            check_no_order_has_two(hosts)
            for host in hosts:
                host.verify_ledger()
        except AssertionError as error:
            chaos.keep_traces()
            raise AssertionError(f"ORIGINCA_SEED={seed}: after {chaos.killed} kills and {chaos.restored} restored "
                                 f"copies (traces in {chaos.folder}): {error}") from error
        finally:
            end_all(actors)
    report(chaos, actors, rounds * kills, rounds)


def report(chaos, actors, kills, copies):
    counts = sum((Counter(actor.counts) for actor in actors), Counter())
    print(f"{chaos.killed} kills, {chaos.restored} restored copies of {min(chaos.ages):.0f} to {max(chaos.ages):.0f} s, "
          f"{sum(actor.acknowledged for actor in actors)} acknowledgements: {dict(counts)}")
    assert (chaos.killed, chaos.restored) == (kills, copies)
    assert sum(actor.acknowledged for actor in actors) >= kills, "the test did not test much"
    assert all(counts[each] for each in ("issue_by_acme", "issue_by_rest", "revoke", "roll_key", "pause_and_resume"))
