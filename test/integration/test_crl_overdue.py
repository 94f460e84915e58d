"""A list that is not as new as it has to be is noticed, and made anew where that is what it needs: whatever Redis says of when it is
due, and where what was published cannot be kept here."""

import contextlib
import datetime
import email.utils
import json
import re
import subprocess
import threading
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509 import ocsp

from crl_kit import fetch, load, number_of, path_of
from ocsp_kit import cert_id, issuer_of, request, responder_of
from rest_client import leaf_of, make_csr, new_key, rest
from test_crl import wait_listed, wait_published
from test_going_back import redis
from test_two_hosts import with_second
from under_test import run, wait_until

SANDBOX_OPTIONS = ("--set", "revocation.crl_delay_ms=1000", "--set", "revocation.crl_compare_seconds=2", "--set", "signer.crl_settle_seconds=1",
                   "--set", "revocation.crl_lease_seconds=10", "--workers", "1")
RECOVERY = 60


@pytest.fixture
def box(own_sandbox):
    wait_published(own_sandbox)
    return own_sandbox


def create(box):
    result = rest(box).create([box.name()], request_type="origin-ecc", csr=make_csr()).result
    return result["id"], leaf_of(result)


def metric(box, name):
    return box.admin.metrics()[f"originca_crls_{name}"]


def problems(box):
    return [each["problem"] for each in box.admin.get("crls")["items"] if "problem" in each]


def is_listed(box, leaf):
    return load(box["HTTP_URL"], path_of(leaf)).get_revoked_certificate_by_serial_number(leaf.serial_number) is not None


def test_a_list_that_redis_does_not_call_due_is_made_for_the_ledgers_revocations(box):
    identifier, leaf = create(box)
    before, is_over = number_of(load(box["HTTP_URL"], path_of(leaf))), threading.Event()
    lacking = box.admin.metrics()["originca_crl_lacking_total"]

    def keep_from_being_due():
        while not is_over.wait(0.05):
            redis(box, "EVAL", """
                redis.call('DEL', 'crls-due')
                for _, id in ipairs(redis.call('HVALS', 'crl-lists')) do
                  redis.call('HSET', 'crl:' .. id, 'changes', redis.call('HGET', 'crl:' .. id, 'listed_changes') or 0)
                end""", "0")

    somebody = threading.Thread(target=keep_from_being_due)
    somebody.start()
    try:
        assert rest(box).revoke(identifier).status == 200
        is_over.wait(5)
    finally:
        is_over.set()
        somebody.join()
    assert not is_listed(box, leaf) and number_of(load(box["HTTP_URL"], path_of(leaf))) == before
    assert box.admin.get(f"certificates/{identifier}")["crl"]["listed"] is False
    assert wait_until(lambda: box.admin.metrics()["originca_crl_lacking_total"] > lacking, RECOVERY)
    wait_listed(box, leaf)
    assert 'event="a revocation list has long lacked a revocation of this host' in box.log_text()
    assert box.admin.get(f"certificates/{identifier}")["crl"]["listed"] is True


@pytest.fixture
def small_directory(box):
    """The lists' files lie on a file system with little room."""
    directory = box.directory / "run" / "crl"
    copies = [(each.name, each.read_bytes()) for each in directory.iterdir()]
    if run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(directory)], check=False).returncode != 0:
        pytest.skip("only root mounts a file system")
    for name, data in copies:
        (directory / name).write_bytes(data)
    yield directory
    run(["umount", "-l", str(directory)])


def test_a_host_that_cannot_keep_a_newer_list_says_so(box, small_directory):
    identifier, leaf = create(box)
    subprocess.run(["dd", "if=/dev/zero", f"of={small_directory}/fill", "bs=4096"], capture_output=True, timeout=60)
    assert rest(box).revoke(identifier).status == 200
    assert wait_until(lambda: metric(box, "stale") > 0, RECOVERY)
    assert not is_listed(box, leaf)
    assert box.admin.get(f"certificates/{identifier}")["crl"]["listed"] is False
    assert wait_until(lambda: any("originca_crls_stale" in each for each in problems(box)), RECOVERY)
    assert 'event="this host serves an older revocation list than was published' in box.log_text()
    (small_directory / "fill").unlink()
    wait_listed(box, leaf)
    assert wait_until(lambda: metric(box, "stale") == 0 and problems(box) == [], RECOVERY)
    assert box.admin.get(f"certificates/{identifier}")["crl"]["listed"] is True


@pytest.mark.parametrize("lost", ["all entries", "one entry"])
def test_entries_that_redis_lost_are_put_back_from_the_ledger(box, lost):
    made = [create(box) for _ in range(3)]
    for identifier, _ in made:
        assert rest(box).revoke(identifier, {"reason": "superseded"}).status == 200
    for _, leaf in made:
        wait_listed(box, leaf, "superseded")
    time.sleep(2.1)  # crl_settle_seconds, and a second: the signer lets out no list without them from now on
    serial = f"{made[0][1].serial_number:032x}"
    lists = {redis(box, "HGET", "crl-lists", "ecc "), redis(box, "HGET", f"certificate:{serial}", "crl")}
    for key in lists:
        if lost == "all entries":
            redis(box, "DEL", f"crl-entries:{key}")
        else:
            redis(box, "ZREM", f"crl-entries:{key}", redis(box, "HGET", f"certificate:{serial}", "entry"))
    identifier, leaf = create(box)
    assert rest(box).revoke(identifier).status == 200  # the complete list is due
    for key in lists:
        redis(box, "ZADD", "crls-due", "0", key)
    wait_listed(box, leaf)
    for _, each in made:
        wait_listed(box, each, "superseded")
    assert wait_until(lambda: all(redis(box, "ZSCORE", f"crl-entries:{key}", redis(box, "HGET", f"certificate:{serial}", "entry"))
                                  for key in lists), RECOVERY)
    assert wait_until(lambda: metric(box, "failing") == 0 and problems(box) == [], RECOVERY)
    assert 'event="Redis had lost entries of a revocation list: they are back from the ledger' in box.log_text()


def listed_file(box, leaf):
    return next(box.directory / "run" / "crl" / each["file"] for each in json.loads((box.directory / "run" / "crl" / "index").read_text())
                if each["url"].endswith(path_of(leaf)))


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.unlink()  # workers have the former one mapped
    path.write_bytes(data)


def empty(path):
    path.unlink()
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [flip, empty, Path.unlink])
@pytest.mark.parametrize("is_down", [False, True])
def test_a_damaged_file_is_fetched_again(box, damage, is_down):
    identifier, leaf = create(box)
    assert rest(box).revoke(identifier).status == 200
    wait_listed(box, leaf)
    path, before = listed_file(box, leaf), box.admin.metrics()["originca_crl_files_damaged_total"]
    if is_down:
        box.script("down", "--keep")
        before = 0
    damage(path)
    if is_down:
        box.script("up", "--port-base", box.port_base, *box.options, timeout=600)
    else:
        for worker in box.workers():
            box.kill(worker)
    box.wait_ready()
    assert wait_until(lambda: box.admin.metrics()["originca_crl_files_damaged_total"] > before, RECOVERY)

    def is_good():
        status, _, body = fetch(box["HTTP_URL"], path_of(leaf))
        with contextlib.suppress(ValueError):
            return status == 200 and x509.load_der_x509_crl(body).get_revoked_certificate_by_serial_number(leaf.serial_number)
        return False

    assert wait_until(is_good, RECOVERY)
    wait_listed(box, leaf)


def test_this_update_rises_though_a_clock_was_ahead(box):
    """By less than lists are dated back, so that it is not noticed: who asks by date must not be told that nothing is new."""
    identifier, leaf = create(box)
    wait_published(box)
    box.script("down", "--keep")
    index = box.directory / "run" / "crl" / "index"
    lists = json.loads(index.read_text())
    ahead = int(time.time()) - 5
    for each in lists:
        each["this_update"] = ahead
    index.write_text(json.dumps(lists))
    box.script("up", "--port-base", box.port_base, *box.options, timeout=600)
    box.wait_ready()
    assert rest(box).revoke(identifier).status == 200
    wait_listed(box, leaf)
    assert load(box["HTTP_URL"], path_of(leaf)).last_update.replace(tzinfo=datetime.timezone.utc).timestamp() > ahead
    _, headers, _ = fetch(box["HTTP_URL"], path_of(leaf))
    dated = email.utils.parsedate_to_datetime(headers["Last-Modified"])
    assert dated.timestamp() > ahead
    before = email.utils.format_datetime(dated - datetime.timedelta(seconds=1), usegmt=True)
    assert fetch(box["HTTP_URL"], path_of(leaf), headers={"If-Modified-Since": before})[0] == 200


def without_rsa(text):
    text = text.replace(re.search(r'    issuer "rsa" \{.*?\n    \}\n', text, re.S)[0], "")
    for section in ("acme", "rest"):
        setting = f'    {section}_rsa_issuer = "ecc"\n'
        text = text.replace(f"{section} {{\n", f"{section} {{\n{setting}", 1) if f"{section} {{\n" in text else \
            f"{text}{section} {{\n{setting}}}\n"
    return text


def test_a_host_without_the_issuer_keeps_no_list_from_those_that_have_it(box):
    with with_second(box, change=without_rsa):
        for _ in range(5):
            result = rest(box).create([box.name()], request_type="origin-rsa", csr=make_csr(new_key("rsa2048"))).result
            assert rest(box).revoke(result["id"]).status == 200
            wait_listed(box, leaf_of(result), issuer="rsa", seconds=25)  # it is longer than the host's own turn takes


@pytest.mark.parametrize("ahead", ["far ahead", "gone"])
def test_a_list_that_has_changed_is_made_though_its_due_time_is(box, ahead):
    """As a clock of Redis leaves it that was ahead when the revocation came."""
    identifier, leaf = create(box)
    wait_published(box)
    serial, is_over = f"{leaf.serial_number:032x}", threading.Event()

    def put_ahead():
        while not is_over.wait(0.05):
            key = redis(box, "HGET", f"certificate:{serial}", "crl")
            if ahead == "gone":
                redis(box, "ZREM", "crls-due", key)
            else:
                redis(box, "ZADD", "crls-due", str(int((time.time() + 3000) * 1000)), key)

    somebody = threading.Thread(target=put_ahead)
    somebody.start()
    try:
        assert rest(box).revoke(identifier).status == 200
        is_over.wait(1)
    finally:
        is_over.set()
        somebody.join()
    wait_listed(box, leaf, seconds=18)  # not as late as by the ledger's word


def test_a_revocation_of_the_future_is_answered_as_revoked_now(box):
    """By the clock of a host that is ahead."""
    identifier, leaf = create(box)
    assert rest(box).revoke(identifier).status == 200
    redis(box, "HSET", f"certificate:{leaf.serial_number:032x}", "revoked", str(int(time.time()) + 3000))
    redis(box, "DEL", *(redis(box, "--scan", "--pattern", "ocsp*").split() or ["none"]))
    answer = ocsp.load_der_ocsp_response(responder_of(box).post(request(cert_id(issuer_of(box), leaf.serial_number))).body)
    assert answer.certificate_status == ocsp.OCSPCertStatus.REVOKED
    assert answer.revocation_time.replace(tzinfo=datetime.timezone.utc).timestamp() <= time.time() + 1


def test_without_complete_lists_the_former_ones_are_served_no_more(box):
    assert fetch(box["HTTP_URL"], "/crl/ecc-all.crl")[0] == 200
    path = Path(box["CONFIG"])
    good = path.read_text()
    path.write_text(good.replace("revocation {\n", "revocation {\n    crl_complete = false\n", 1))
    try:
        box.server_tool("reload")
        assert wait_until(lambda: fetch(box["HTTP_URL"], "/crl/ecc-all.crl")[0] == 404, RECOVERY)
        identifier, leaf = create(box)
        assert rest(box).revoke(identifier).status == 200
        assert wait_until(lambda: is_listed(box, leaf), RECOVERY)
        assert fetch(box["HTTP_URL"], "/crl/ecc-all.crl")[0] == 404
    finally:
        path.write_text(good)
        box.server_tool("reload")
    assert wait_until(lambda: fetch(box["HTTP_URL"], "/crl/ecc-all.crl")[0] == 200, RECOVERY)
    wait_listed(box, leaf)
