"""Keys that vanish from Redis while its watermark stays (a wrong DEL, an eviction, a partial export): nobody is told that
what he has does not exist; the server stops, says what is missing, and goes on with a backup or an operator's word."""

import contextlib
import json
import os
import shutil
import signal
import tempfile
import time
from pathlib import Path

import pytest

from rest_client import RestClient, service_key
from under_test import run, start_time, wait_end, wait_until

SANDBOX_OPTIONS = ("--workers", "1", "--set", "server.outage_wait_ms=0", "--set", "dns.dns_share_ms=0",
                   "--set", "dns.dns_referral_max_ttl=0")
RECOVERY = 60


def redis(box, *words):
    return run(["redis-cli", "-s", box["REDIS_SOCKET"], *words]).stdout.strip()


def start_redis(box):
    box.start_redis()
    assert wait_until(lambda: "PONG" in run(["redis-cli", "-s", box["REDIS_SOCKET"], "PING"], check=False).stdout, 20)


@pytest.fixture
def box(own_sandbox):
    own_sandbox.wait_ready(RECOVERY)
    yield own_sandbox
    own_sandbox.wait_ready(RECOVERY)


@pytest.fixture
def put_back(box, tmp_path):
    """Redis's data as it is now, restored by what is given and at the end."""
    copy = Path(tempfile.mkdtemp(dir=tmp_path)) / "redis"
    shutil.copytree(box.directory / "redis", copy)

    def restore():
        box.kill_redis()
        shutil.rmtree(box.directory / "redis")
        shutil.copytree(copy, box.directory / "redis")
        start_redis(box)

    yield restore
    restore()


def reason_of(box):
    _, text = box.admin.readiness()
    with contextlib.suppress(ValueError):
        return json.loads(text).get("ledger", {}).get("reason", "")
    return ""


def wait_refused(box, *words):
    seen = []

    def is_said():
        seen.append(reason_of(box))
        return all(word in seen[-1] for word in words) and seen[-1]

    assert wait_until(is_said, RECOVERY, pause=0.05), seen[-1]
    return seen[-1]


def delete(box, *patterns):
    for pattern in patterns:
        keys = redis(box, "--scan", "--pattern", pattern).split()
        assert keys, pattern
        redis(box, "DEL", *keys)


def rest_of(box):
    key = box.admin.post(f"customers/{box['CUSTOMER']}/api-keys", {"kind": "service-key"})["key"]
    return RestClient(box["API_URL"], box["CA_BUNDLE"], service_key(key))


VANISHED = {
    "zones": (("zone:*",), "it lacks zone"),
    "index of zones": (("zones",), "it lacks zone"),
    "names of zones": (("zone-name:*",), "it lacks zone"),
    "customers": (("customer:*",), "it lacks"),
    "accounts": (("account:*",), "it lacks account"),
    "certificates": (("certificate:*",), "it lacks certificate"),
    "index of certificates": (("customer-certificates:*",), "it lacks certificate"),
    "orders": (("order:*",), "it lacks order"),
    "API keys": (("api-key:*",), "it lacks API key of order"),
    "EAB keys": (("eab:*",), "it lacks EAB key of account"),
    "all but the ledger": (("[a-km-z]*",), "it lacks"),
}


@pytest.mark.parametrize("vanished", VANISHED)
def test_a_redis_that_lost_a_part_is_not_served_until_its_backup_is_back(box, put_back, vanished):
    patterns, words = VANISHED[vanished]
    client, rest = box.client(), rest_of(box)
    _, chain, _ = client.issue([box.name()])
    assert rest.create([box.name()]).status == 200
    applied = redis(box, "HGET", "ledger:sandbox", "applied")
    delete(box, *patterns)
    reason = wait_refused(box, "Redis lost data", words, "restore a backup")
    assert "originca admin ledger accept-empty" in reason
    assert int(redis(box, "HGET", "ledger:sandbox", "applied")) >= int(applied)
    client.close()
    reply = client.new_order([box.name()])
    assert reply.status == 503 and reply.problem == "serverInternal", reply.text
    assert rest.list(box["ZONE_ID"]).status == 503
    put_back()
    box.wait_ready(RECOVERY)


@pytest.mark.parametrize("kind, path, words", [("api-key", "api-keys", "it lacks API key"), ("eab", "eab-keys", "it lacks EAB key")])
def test_a_key_that_ended_stays_in_the_lists_or_is_missed(box, put_back, kind, path, words):
    made = box.admin.post(f"customers/{box['CUSTOMER']}/{path}", {"kind": "service-key"} if kind == "api-key" else None)
    key = made.get("id") or made["kid"]
    box.admin.delete(f"customers/{box['CUSTOMER']}/{path}/{key}")
    delete(box, f"{kind}:{key}")
    wait_refused(box, "Redis lost data", f"{words} {key}")
    put_back()
    box.wait_ready(RECOVERY)


def test_a_backup_of_while_nobody_was_served_is_replayed(box, put_back, tmp_path):
    """Older than what is there, and newer than what the admin process waited for when it stopped serving."""
    def end_a_key():
        key = box.admin.post(f"customers/{box['CUSTOMER']}/api-keys", {"kind": "service-key"})["id"]
        box.admin.delete(f"customers/{box['CUSTOMER']}/api-keys/{key}")
        return key

    def applied():
        return int(redis(box, "HGET", "ledger:sandbox", "applied") or 0)

    missing = end_a_key()
    delete(box, f"api-key:{missing}")
    wait_refused(box, "Redis lost data", missing)
    end_a_key()
    backup = tmp_path / "backup"
    shutil.copytree(box.directory / "redis", backup)
    end_a_key()
    newest = applied()
    box.kill_redis()
    shutil.rmtree(box.directory / "redis")
    shutil.copytree(backup, box.directory / "redis")
    start_redis(box)
    assert wait_until(lambda: applied() >= newest, RECOVERY), f"{applied()} of {newest}: {reason_of(box)}"
    put_back()
    box.wait_ready(RECOVERY)


def test_what_vanished_while_nothing_ran_is_missed_at_the_start(box, put_back):
    rest = rest_of(box)
    box.client().issue([box.name()])
    supervisor, started = box.supervisor, start_time(box.supervisor)
    os.kill(supervisor, signal.SIGTERM)
    assert wait_end(supervisor, started, RECOVERY)
    delete(box, "zone:*", "customer-zones:*")
    redis(box, "HINCRBY", "ledger:sandbox", "looked", "-60")  # it was down for a minute
    offset = len(box.log_text())
    program = Path(os.environ["ORIGINCA_BUILD"]) / "server" / "originca-server"
    box.processes.start("server", [program, "-c", box["CONFIG"]], {"SOFTHSM2_CONF": box["SOFTHSM2_CONF"]})
    wait_refused(box, "Redis lost data", "it lacks zone")
    assert rest.list(box["ZONE_ID"]).status == 503
    assert "event=serving" not in box.log_text()[offset:]  # not for a moment


def test_an_operator_goes_on_without_what_is_gone_and_that_stands_in_the_ledger(box, put_back):
    client = box.client()
    client.issue([box.name()])
    [serial] = [record["serial"] for record in box.ledger("issued")][-1:]
    redis(box, "DEL", f"certificate:{serial}", *[f"zone:{box['ZONE_ID']}"])
    wait_refused(box, "Redis lost data")
    accepted = json.loads(box.admin_command("--json", "ledger", "accept-empty").stdout)
    box.wait_ready(RECOVERY)
    [record] = box.ledger("emptied-accepted")[-1:]
    assert record["seq"] == accepted["last_sequence"] and record["by"].startswith("admin:")
    assert "it lacks" in record["detail"]
    assert box.admin.get(f"certificates/{int(serial, 16)}")["status"] == "valid"  # the ledger had it
    assert redis(box, "ZSCORE", "zones-lost", box["ZONE_ID"])
    assert redis(box, "HGET", "ledger:sandbox", "lost") == ""
    refused = box.admin_command("ledger", "accept-empty", check=False)
    assert refused.returncode == 1 and "nothing was found to be missing" in refused.stderr


def test_a_copy_of_before_a_zone_and_an_account_is_served_as_it_is(box, put_back):
    """The ledger is replayed into it: what it lacks then is no news."""
    name = f"later-{box.name()}"
    zone = box.admin.post("zones", {"name": name, "customer": box["CUSTOMER"]})["id"]
    client = box.client()
    client.issue([box.name()])
    put_back()
    box.wait_ready(RECOVERY)
    assert redis(box, "EXISTS", f"zone:{zone}") == "0" and redis(box, "ZSCORE", "zones-lost", zone)
    for _ in range(3):  # passes of the fence
        time.sleep(2)
        assert reason_of(box) == ""
    box.client().issue([box.name()])
