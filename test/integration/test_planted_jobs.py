"""Whoever can write Redis, as a worker that was taken over, has nothing revoked in an operator's name: a job is what was
confirmed, or nothing more of it is done, and that is told."""

import hashlib
import re
import secrets
import time

import pytest

from test_bulk_revocation import begin, create, dry_run, ended, job, records_of, redis, refused, shown
from test_secret_files import other, start, stop
from under_test import wait_until

HOLD = 5
LOOK = 5  # how often zones that were left are looked for
SANDBOX_OPTIONS = ("--workers", "1", "--set", "dns.moved_zone_certificates=revoke", "--set",
                   f"dns.left_zone_revoke_after_seconds={HOLD}")
UNSEALED = "originca_bulk_unsealed_total"


@pytest.fixture(scope="module")
def stranger(own_sandbox):
    """A customer whom no operator has named, and his certificates."""
    customer = own_sandbox.new_customer()
    customer.serials = create(own_sandbox, customer, 3)
    return customer


@pytest.fixture
def box(own_sandbox, stranger):
    """After each test nothing of the stranger's is revoked."""
    yield own_sandbox
    assert {shown(own_sandbox, serial)["status"] for serial in stranger.serials} == {"valid"}


def put(box, identifier, *fields):
    redis(box, "HSET", f"bulk:{identifier}", *fields)
    redis(box, "ZADD", "bulk-jobs", "1", identifier)
    redis(box, "ZADD", "bulk-open", "1", identifier)


def put_aside(box, identifier, *words):
    """Until the job has failed; it says why, and so does the log."""
    failed = ended(box.admin, identifier)
    assert failed["state"] == "failed" and all(word in failed["problem"] for word in words), failed
    assert wait_until(lambda: any(identifier in line and "not what an operator confirmed" in line
                                  for line in box.log_text().splitlines()), 40)  # its lease ends first
    assert box.admin_command("revocation", "wait", identifier, check=False).returncode == 1
    return failed


def done_job(box):
    customer = box.new_customer()
    create(box, customer, 1)
    return ended(box.admin, begin(box, 1, selection={"customer": customer.id})["id"])["id"]


def running(box, count=8, **selection):
    """A job that takes seconds, with something done, and its certificates."""
    customer = box.new_customer()
    serials = create(box, customer, count)
    made = begin(box, count, selection=selection or {"customer": customer.id}, per_second=1)
    assert wait_until(lambda: job(box.admin, made["id"])["done"] >= 1, 30)
    return made["id"], serials


def test_a_planted_job_revokes_nothing(box, stranger):
    identifier = secrets.token_hex(16)
    put(box, identifier, "customer", stranger.id, "state", "running", "reason", "1", "rate", "1000", "by", "admin:root",
        "total", "3", "created", "1", "cut_off", "99999999")
    put_aside(box, identifier, "not what an operator confirmed", "operator_secret_file")
    assert box.admin.metrics()[UNSEALED] >= 1


@pytest.mark.parametrize("words", [("total", "many"), ("state", "running", "cursor", "1,abc"), ("rate", "-1")])
def test_what_is_no_job_at_all_is_put_aside_and_keeps_back_no_other(box, words):
    identifier = secrets.token_hex(16)
    redis(box, "SET", "bulk:text", "1")
    redis(box, "ZADD", "bulk-open", "0", "text")
    put(box, identifier, "state", "running", *words)
    assert identifier in [each["id"] for each in box.admin.get("revocations?limit=100")["items"]]
    done_job(box)
    put_aside(box, identifier)


def test_a_job_that_is_over_does_not_begin_again_for_others(box, stranger):
    """Its seals, the selection changed, and a list of others."""
    old, identifier = done_job(box), secrets.token_hex(16)
    redis(box, "COPY", f"bulk:{old}", f"bulk:{identifier}")
    redis(box, "HSET", "bulk-plan:mine", "0", "0" * 64 + " " + "".join(f"{int(each):032x}" for each in stranger.serials))
    put(box, identifier, "state", "running", "customer", stranger.id, "total", "3", "plan", "mine")
    put_aside(box, identifier)


CHANGES = {
    "customer": lambda box, stranger: ("customer", stranger.id),
    "everything": lambda box, stranger: ("customer", "", "zone", "", "issuer", "ecc"),
    "rate": lambda box, stranger: ("rate", "100000"),
    "total": lambda box, stranger: ("total", "1000000"),
    "reason": lambda box, stranger: ("reason", "1"),
    "by": lambda box, stranger: ("by", "admin:somebody"),
    "cut-off": lambda box, stranger: ("cut_off", "99999999"),
    "list": lambda box, stranger: ("plan", "0" * 32),
    "cursor-ahead": lambda box, stranger: ("cursor", "8"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_job_that_is_changed_while_it_runs_goes_no_further(box, stranger, change):
    identifier, serials = running(box)
    redis(box, "HSET", f"bulk:{identifier}", *CHANGES[change](box, stranger))
    failed = put_aside(box, identifier)
    assert failed["state"] == "failed"
    assert 1 <= len(records_of(box, identifier)) < 8
    assert {int(f"0x{each['serial']}", 16) for each in records_of(box, identifier)} <= {int(each) for each in serials}


def test_serials_that_are_put_on_the_list_are_not_revoked(box, stranger):
    identifier, _ = running(box)
    plan = f"bulk-plan:{redis(box, 'HGET', f'bulk:{identifier}', 'plan')}"
    seal, listed = redis(box, "HGET", plan, "0").split()
    theirs = "".join(f"{int(each):032x}" for each in stranger.serials)
    redis(box, "HSET", plan, "0", f"{seal} {listed[:-len(theirs)]}{theirs}")
    put_aside(box, identifier, "list of its certificates")


def test_certificates_that_come_into_the_selection_are_not_revoked(box, stranger):
    """What Redis says of certificates and its indexes are no matter any more."""
    customer = box.new_customer()
    create(box, customer, 6)
    made = begin(box, 6, selection={"customer": customer.id}, per_second=2)
    for serial in stranger.serials:
        key = f"{int(serial):032x}"
        redis(box, "HSET", f"certificate:{key}", "customer", customer.id, "recorded", "1")
        redis(box, "ZADD", f"customer-certificates:{customer.id}", "1", key)
    done = ended(box.admin, made["id"])
    for serial in stranger.serials:
        redis(box, "HSET", f"certificate:{int(serial):032x}", "customer", stranger.id)
    assert (done["state"], done["done"], done["total"]) == ("done", 6, 6)


def test_a_job_under_another_id_is_none_and_the_first_goes_on(box):
    identifier, _ = running(box)
    copy = secrets.token_hex(16)
    redis(box, "COPY", f"bulk:{identifier}", f"bulk:{copy}")
    redis(box, "HDEL", f"bulk:{copy}", "holder", "lease", "plan")
    put(box, copy, "state", "running")
    put_aside(box, copy)
    done = ended(box.admin, identifier)
    assert (done["state"], done["done"]) == ("done", 8) and len(records_of(box, identifier)) == 8
    assert not records_of(box, copy)


def test_a_job_that_is_put_back_does_nothing_twice(box):
    identifier, _ = running(box)
    fields = ("cursor", "done", "failed", "progress_seal")
    before = [redis(box, "HGET", f"bulk:{identifier}", name) for name in fields]
    assert wait_until(lambda: job(box.admin, identifier)["done"] >= 4, 30)
    redis(box, "HSET", f"bulk:{identifier}", *(word for pair in zip(fields, before) for word in pair))
    done = ended(box.admin, identifier)
    assert (done["state"], done["done"], done["skipped"]) == ("done", 8, 0)
    assert len({each["serial"] for each in records_of(box, identifier)}) == len(records_of(box, identifier)) == 8


def test_what_redis_says_was_done_counts_nothing(box):
    """The process that works on the job knows better."""
    identifier, _ = running(box)
    redis(box, "HSET", f"bulk:{identifier}", "done", "7")
    assert wait_until(lambda: redis(box, "HGET", f"bulk:{identifier}", "state") != "running", 60)
    last = job(box.admin, identifier)
    assert (last["state"], last["done"]) == ("done", 8) or last["state"] == "failed", last


def test_a_job_is_not_done_because_redis_says_so(box):
    identifier, _ = running(box)
    redis(box, "HSET", f"bulk:{identifier}", "state", "done", "done", "8", "cursor", "8", "ended", str(int(time.time())))
    told = job(box.admin, identifier)
    assert told["state"] == "failed" and "how far" in told["problem"]


# By policy


def test_a_planted_job_of_the_policy_revokes_nothing(box, stranger):
    zone = box.admin.get(f"zones/{stranger.zone}")["id"]
    identifier = hashlib.sha1(f"left:{zone}:1".encode()).hexdigest()[:32]
    put(box, identifier, "zone", zone, "state", "running", "reason", "5", "rate", "500", "by",
        f"admin:policy zone-left bulk:{identifier}", "total", "3", "created", "1", "cut_off", "99999999")
    put_aside(box, identifier)


@pytest.mark.parametrize("status", ["active", "moved", "deleted", "paused"])
def test_a_zone_that_never_left_loses_nothing_whatever_redis_says(box, stranger, status):
    zone = box.admin.get(f"zones/{stranger.zone}")["id"]
    redis(box, "HSET", f"zone:{zone}", "status", status)
    redis(box, "ZADD", "zones-left", "2", zone)
    if status == "active":
        assert wait_until(lambda: redis(box, "ZSCORE", "zones-left", zone) == "", 3 * LOOK)
    else:
        assert wait_until(lambda: box.admin.metrics()["originca_left_zones_unproven"] >= 1, 3 * LOOK)
        assert wait_until(lambda: "by the ledger are not" in box.log_text() and zone in box.log_text(), 3 * LOOK)
    redis(box, "HSET", f"zone:{zone}", "status", "active")
    redis(box, "ZREM", "zones-left", zone)
    assert wait_until(lambda: box.admin.metrics()["originca_left_zones_unproven"] == 0, 3 * LOOK)
    assert not [each for each in box.admin.get("revocations?limit=100")["items"] if zone == each["selection"].get("zone")
                and each["state"] != "failed"]


def test_a_zone_that_was_left_only_now_keeps_its_certificates_for_the_time_of_the_policy(box):
    """A score of long ago makes it no sooner."""
    customer = box.new_customer()
    zone = box.new_zone(customer.id)
    identifier = box.admin.get(f"zones/{zone}")["id"]
    serials = create(box, customer, 2, zone=zone)
    begun = time.time()
    box.admin.call("DELETE", f"zones/{zone}")
    redis(box, "ZADD", "zones-left", "1", identifier)
    assert wait_until(lambda: {shown(box, each)["status"] for each in serials} == {"revoked"}, 60, pause=0.2)
    assert time.time() >= begun + HOLD
    made = next(each for each in box.admin.get("revocations?limit=100")["items"]
                if each["by"].startswith("admin:policy") and each["selection"].get("zone") == identifier)
    assert (ended(box.admin, made["id"])["state"], made["total"]) == ("done", 2)


# A job that is an operator's goes on


def test_a_job_goes_on_over_a_reload_and_a_restart(box):
    identifier, _ = running(box, 12)
    box.server_tool("reload")
    assert wait_until(lambda: job(box.admin, identifier)["done"] >= 3, 30)
    stop(box)
    start(box)
    box.wait_ready(60)
    done = ended(box.admin, identifier)
    assert (done["state"], done["done"]) == ("done", 12) and len(records_of(box, identifier)) == 12


def test_a_server_without_the_operators_secret_makes_no_job_and_says_what_to_do(box):
    customer = box.new_customer()
    create(box, customer, 1)
    path = box.directory / "originca.conf"
    text = path.read_text()
    path.write_text(re.sub(r"(?m)^ *operator_secret_file .*$", "", text))
    try:
        checked = box.server_tool("--check-config", check=False)
        assert checked.returncode != 0 and "operator_secret_file" in checked.stdout + checked.stderr
        path.write_text(re.sub(r"(?m)^ *(operator_secret_file|moved_zone_certificates) .*$", "", text))
        box.server_tool("reload")
        assert dry_run(box, customer=customer.id)["count"] == 1
        refused(lambda: begin(box, 1, selection={"customer": customer.id}), 409, "operator_secret_file", "ca init")
    finally:
        path.write_text(text)
        box.server_tool("reload")
    assert ended(box.admin, begin(box, 1, selection={"customer": customer.id})["id"])["state"] == "done"


def test_after_another_operators_secret_a_job_is_begun_again(box):
    identifier, _ = running(box, 40)
    customer = job(box.admin, identifier)["selection"]["customer"]
    stop(box)
    with other(box, "operator-secret"):
        start(box)
        assert wait_until(lambda: "accept-secrets" in str(box.admin.readiness()[1]), 60)
        box.admin_command("ledger", "accept-secrets")
        box.wait_ready(60)
        put_aside(box, identifier, "operator_secret_file")
        left = dry_run(box, customer=customer)["count"]
        assert left == 40 - len(records_of(box, identifier)) > 0
        again = begin(box, left, selection={"customer": customer})
        assert ended(box.admin, again["id"])["done"] == left
        stop(box)
    start(box)
    assert wait_until(lambda: "accept-secrets" in str(box.admin.readiness()[1]), 60)
    box.admin_command("ledger", "accept-secrets")
    box.wait_ready(60)
