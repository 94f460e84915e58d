"""Whoever can write Redis hides no proof of a revocation, keeps no list from being made, and takes nothing off for long that a
host's ledger has."""

import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from crl_kit import path_of
from ocsp_kit import cert_id, issuer_of, request, responder_of
from rest_client import rest
from test_crl import wait_listed
from test_crl_unproven import (MOST, PATIENCE, RECOVERY, SANDBOX_OPTIONS, box, complete_list, create, drop, hosts,  # noqa: F401
                               listed, make_here, make_old, plant, serial, shown, status, unproven, waiting)
from test_going_back import redis
from under_test import stopped, wait_until


def proofs(box):
    return redis(box, "ZRANGE", "crl-proofs", "0", "-1").split("\n")


def plant_proofs(box, number, count, step=0):
    """Proofs without a good seal; those of one number stand before any other of it."""
    lines = "".join(f"ZADD crl-proofs {number if step == 0 else number + at * step} \"{'0' * 64} {at:032x}\"\n" for at in range(count))
    subprocess.run(["redis-cli", "-s", box["REDIS_SOCKET"], "--pipe"], input=lines, text=True, check=True, capture_output=True, timeout=60)


def revoked_at_second(hosts, box, while_stopped):
    """More than the bound are revoked at the other host, and proven while nobody makes lists here."""
    made = create(box, MOST + 3)
    leaves = [leaf for _, leaf in made]
    with stopped(box.admin_process()):
        for identifier, _ in made:
            hosts[1].admin.post(f"certificates/{identifier}/revoke", {"reason": "keyCompromise"})
        assert wait_until(lambda: not waiting(box) & set(map(serial, leaves)), RECOVERY)
        while_stopped(leaves)
    return leaves


@pytest.mark.parametrize("place", ["behind the last that was read", "at the number of a good one"])
def test_planted_proofs_hide_none_that_is_good(hosts, box, place):
    make_here(hosts, box)

    def plant_many(leaves):
        newest = redis(box, "ZRANGE", "crl-proofs", "-1", "-1", "WITHSCORES").split()
        first = next(page for page in proofs(box) if serial(leaves[0]) in page)
        number = redis(box, "ZSCORE", "crl-proofs", first) if place.startswith("at") else f"{int(newest[-1]) - 20000}.25"
        plant_proofs(box, number, 1300)

    leaves = revoked_at_second(hosts, box, plant_many)
    with stopped(*hosts[1].parts("admin")):
        redis(box, "ZADD", "crls-due", "LT", "0", complete_list(box))
        assert wait_until(lambda: len(listed(box, leaves)) == len(leaves), PATIENCE)
    assert wait_until(lambda: not any(page.startswith("0" * 64) for page in proofs(box)), RECOVERY)
    assert "left_out" not in shown(box) and shown(box)["unproven"] == 0


MOVE = """for _, page in ipairs(redis.call('ZRANGE', 'crl-proofs', 2, '+inf', 'BYSCORE')) do
  for _, serial in ipairs(ARGV) do if string.find(page, serial, 1, true) then redis.call('ZADD', 'crl-proofs', 1, page) end end
end"""


def test_a_proof_with_another_number_is_found(hosts, box):
    """Whoever gives each new one the number of one that was read long ago, before anybody has read it."""
    make_here(hosts, box)
    made, is_over = create(box, MOST + 3), threading.Event()
    leaves = [leaf for _, leaf in made]

    def move():
        while not is_over.is_set():
            redis(box, "EVAL", MOVE, "0", *map(serial, leaves))

    with ThreadPoolExecutor(1) as pool:
        mover = pool.submit(move)
        try:
            for identifier, _ in made:
                hosts[1].admin.post(f"certificates/{identifier}/revoke", {"reason": "keyCompromise"})
            assert wait_until(lambda: not waiting(box) & set(map(serial, leaves)), RECOVERY)
            with stopped(*hosts[1].parts("admin")):
                redis(box, "ZADD", "crls-due", "LT", "0", complete_list(box))
                assert wait_until(lambda: len(listed(box, leaves)) == len(leaves), PATIENCE)
        finally:
            is_over.set()
        mover.result(20)


def test_nothing_is_dropped_whose_proof_stands_behind_many(hosts, box):
    made = create(box, 2)
    leaves = [leaf for _, leaf in made]
    for identifier, _ in made:
        hosts[1].admin.post(f"certificates/{identifier}/revoke", {"reason": "keyCompromise"})
    assert wait_until(lambda: len(listed(box, leaves)) == 2 and not waiting(box) & set(map(serial, leaves)), RECOVERY)
    with stopped(*hosts[1].parts("admin")):
        make_old(box, leaves)
        plant_proofs(box, 7, 51000, step=1)  # more than are read at once
        assert drop(box)["serials"] == 0
    assert len(listed(box, leaves)) == 2


def test_a_failure_of_the_future_keeps_no_host_from_a_list(hosts, box):
    (identifier, leaf), = create(box, 1)
    for key in redis(box, "HVALS", "crl-lists").split():
        redis(box, "HSET", f"crl:{key}", "problem_host", "sandbox", "problem_ms", "999999999999998")
    with stopped(*hosts[1].parts("admin")):
        assert rest(box).revoke(identifier).status == 200
        wait_listed(box, leaf, seconds=PATIENCE)


def test_a_host_that_nobody_knows_ends_no_bound(hosts, box):
    make_here(hosts, box)
    leaves = [leaf for _, leaf in create(box, 12)]
    run_id = next(line[7:].strip() for line in redis(box, "INFO", "server").splitlines() if line.startswith("run_id:"))
    with stopped(*hosts[1].parts("admin")):  # nor does another host's silence
        plant(box, leaves)
        assert wait_until(lambda: shown(box).get("left_out") == 7, PATIENCE)
        redis(box, "ZADD", "ledger-hosts", str(int(time.time())), "ghost")
        redis(box, "HSET", "ledger:ghost", "verified", run_id)
        try:
            before = shown(box)["number"]
            box.kill(box.admin_process())
            box.wait_ready()
            redis(box, "ZADD", "crls-due", "LT", "0", complete_list(box))
            assert wait_until(lambda: shown(box)["number"] > before, PATIENCE)
            assert shown(box).get("left_out") == 7, (shown(box), box.log_text()[-3000:])
        finally:
            redis(box, "ZREM", "ledger-hosts", "ghost")
            redis(box, "DEL", "ledger:ghost")
    make_old(box, leaves)
    assert wait_until(lambda: unproven(box) >= 12, PATIENCE)


def taken_away(box, made):
    """As somebody does it who can write Redis."""
    for identifier, leaf in made:
        for key in redis(box, "HVALS", "crl-lists").split():
            for member in redis(box, "ZRANGE", f"crl-entries:{key}", "0", "-1").split():
                if member.startswith(serial(leaf)):
                    redis(box, "ZREM", f"crl-entries:{key}", member)
        redis(box, "HSET", f"certificate:{serial(leaf)}", "status", "valid")


def test_what_another_host_has_revoked_is_put_back_by_it(hosts, box):
    made = create(box, 3)
    leaves = [leaf for _, leaf in made]
    for identifier, _ in made:
        hosts[1].admin.post(f"certificates/{identifier}/revoke", {"reason": "keyCompromise"})
    assert wait_until(lambda: len(listed(box, leaves)) == 3, RECOVERY)
    before = hosts[1].admin.metrics()["originca_crl_put_back_total"]
    taken_away(box, made)
    assert wait_until(lambda: hosts[1].admin.metrics()["originca_crl_put_back_total"] > before, RECOVERY), hosts[1].processes.log_tail("server")
    assert wait_until(lambda: [status(box, identifier) for identifier, _ in made] == ["revoked"] * 3, RECOVERY)
    assert wait_until(lambda: all(len(listed(box, [leaf])) == 1 and len(listed(box, [leaf], path_of(leaf))) == 1 for leaf in leaves), RECOVERY)
    assert {status_of(box, leaf) for leaf in leaves} == {"revoked"}
    assert wait_until(lambda: not waiting(box) & set(map(serial, leaves)), RECOVERY)


def test_what_an_excused_host_had_is_there_again_when_it_is_back(hosts, box):
    """Its ledger was not lost: nothing that it has stays dropped."""
    made = create(box, 2)
    leaves = [leaf for _, leaf in made]
    for identifier, _ in made:
        hosts[1].admin.post(f"certificates/{identifier}/revoke", {"reason": "keyCompromise"})
    assert wait_until(lambda: len(listed(box, leaves)) == 2, RECOVERY)
    with stopped(*hosts[1].parts("admin")):
        with stopped(box.admin_process()):  # it knows them to be proven
            make_old(box, leaves)
            redis(box, "DEL", "crl-proofs", "crl-proofs-by-end")
            box.kill(box.admin_process())
        box.wait_ready()
        assert drop(box)["valid_again"] == 2
        assert wait_until(lambda: listed(box, leaves) == [], PATIENCE), box.log_text()[-4000:]
    assert wait_until(lambda: len(listed(box, leaves)) == 2, RECOVERY)
    assert [status(box, identifier) for identifier, _ in made] == ["revoked"] * 2


def status_of(box, leaf):
    return responder_of(box).post(request(cert_id(issuer_of(box, "ecc"), leaf.serial_number))).status


def test_what_was_left_out_is_listed_once_it_is_proven_whatever_redis_remembers(hosts, box):
    """Nothing in Redis but the proof itself tells of it."""
    make_here(hosts, box)
    made = create(box, MOST + 3)
    leaves = [leaf for _, leaf in made]
    with stopped(*hosts[1].parts("admin")):
        client = hosts[1].rest(box["API_KEY"])
        for identifier, _ in made:
            assert client.revoke(identifier).status == 200
        assert wait_until(lambda: shown(box).get("left_out") == 3, RECOVERY)
        redis(box, "DEL", "crls-left-out")
        redis(box, "ZADD", "crl-proofs-by-end", "0", "nan")
    assert wait_until(lambda: len(listed(box, leaves)) == MOST + 3, RECOVERY)


def test_lists_that_are_none_hide_none_that_is_due(box):
    (identifier, leaf), = create(box, 1)
    lines = "".join(f"ZADD crls-due -1 q{at}\nSADD crls-left-out j{at}\nSADD crl-unsorted {at:032x}\n" for at in range(30000))
    subprocess.run(["redis-cli", "-s", box["REDIS_SOCKET"], "--pipe"], input=lines, text=True, check=True, capture_output=True, timeout=60)
    assert rest(box).revoke(identifier).status == 200
    wait_listed(box, leaf, seconds=20)
    assert wait_until(lambda: int(redis(box, "ZCARD", "crls-due")) <= int(redis(box, "HLEN", "crl-lists")), RECOVERY)
    assert redis(box, "EXISTS", "crl:j1") == "0" and redis(box, "EXISTS", "crls-left-out") == "0"


@pytest.mark.parametrize("way", ["an operator excused it for good", "somebody took it out"])
def test_a_host_that_is_not_waited_for_joins_again(hosts, box, way):
    if way.startswith("an"):
        box.admin_command("ledger", "excuse", "second", "--for-good")
    else:
        redis(box, "ZREM", "ledger-hosts", "second")
    assert wait_until(lambda: redis(box, "ZSCORE", "ledger-hosts", "second"), RECOVERY)
    assert wait_until(lambda: hosts[1].admin.readiness()[0], RECOVERY)


@pytest.mark.parametrize("key", ["crl-lists", "entries"])
def test_a_key_of_another_kind_is_made_anew(box, key):
    first, second = create(box, 2)
    assert rest(box).revoke(first[0]).status == 200
    wait_listed(box, first[1])
    key = f"crl-entries:{complete_list(box)}" if key == "entries" else key
    redis(box, "SET", key, "x")
    assert rest(box).revoke(second[0]).status == 200
    wait_listed(box, second[1])
    assert wait_until(lambda: listed(box, [first[1]]) == [first[1]], RECOVERY)
    assert redis(box, "TYPE", key) in ("hash", "zset")
