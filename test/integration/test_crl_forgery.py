"""Who can write the keys of Redis that hold revocation lists makes no host serve a list that is none, no number fall, and stops no
list for longer than he is at it."""

import re
import subprocess
import threading
import time
from pathlib import Path

import pytest
from cryptography import x509

from crl_kit import ListWatch, fetch, load, number_of, path_of, plain_url
from signer_link import OK, REVOKE, SignerLink, revocation
from rest_client import leaf_of, make_csr, rest
from test_crl import SHARDS, check_form, issuing, paths_of, wait_listed, wait_published
from test_going_back import Second, redis
from under_test import wait_until

SANDBOX_OPTIONS = ("--set", "revocation.crl_delay_ms=1000", "--set", "revocation.crl_compare_seconds=2", "--set", "signer.crl_settle_seconds=1",
                   "--set", "signer.crl_max_foreign_lists=20", "--workers", "1")
RECOVERY = 60


@pytest.fixture
def box(own_sandbox):
    wait_published(own_sandbox)
    return own_sandbox


@pytest.fixture(scope="module")
def second(own_sandbox):
    """One ledger for all tests: Redis knows it by its host's name."""
    return Second(own_sandbox)


def create(box):
    result = rest(box).create([box.name()], request_type="origin-ecc", csr=make_csr()).result
    return result["id"], leaf_of(result)


def list_id(box, path, issuer="ecc"):
    url = "" if path.endswith("-all.crl") else box["HTTP_URL"] + path
    return redis(box, "HGET", "crl-lists", f"{issuer} {url}")


def plant(box, path, number, der=None):
    """As if it was published last."""
    key = list_id(box, path)
    if der is not None:
        subprocess.run(["redis-cli", "-s", box["REDIS_SOCKET"], "-x", "SET", f"crl-der:{key}"], input=der, check=True,
                       capture_output=True, timeout=60)
    redis(box, "HSET", f"crl:{key}", "number", str(number))
    redis(box, "ZADD", "crls-published", str(int(redis(box, "GET", "crls-sequence")) + 1), key)
    return key


def refused(box):
    return box.admin.metrics()["originca_crl_refused_total"]


@pytest.mark.parametrize("number", ["99999999999999", "9223372036854775807", "1e300", "-1", "none"])
def test_a_number_that_is_planted_freezes_no_list(box, number):
    identifier, leaf = create(box)
    path, watch, before = path_of(leaf), ListWatch(), refused(box)
    watch.load(box["HTTP_URL"], path)
    key = plant(box, path, number)
    redis(box, "HSET", f"crl:{key}", "this_update", "none", "claimed", number, "changed", number)
    assert wait_until(lambda: refused(box) > before, RECOVERY)
    assert rest(box).revoke(identifier).status == 200
    wait_listed(box, leaf)
    crl = watch.load(box["HTTP_URL"], path)
    check_form(box, crl, path, "ecc")
    assert number_of(crl) < (time.time() + 300) * 1000
    assert wait_until(lambda: box.admin.metrics()["originca_crls_refused"] == 0, RECOVERY)
    assert 'event="Redis has a revocation list that is refused' in box.log_text()
    assert int(redis(box, "HGET", f"crl:{key}", "number")) == number_of(load(box["HTTP_URL"], path))


def foreign_lists(box, path, number):
    """What Redis may give out instead of the list; and the number it is said to have."""
    own, other = (fetch(box["HTTP_URL"], each)[2] for each in (path, next(each for each in paths_of("ecc") if each != path)))
    rsa, complete = (fetch(box["HTTP_URL"], each)[2] for each in ("/crl/r0", "/crl/ecc-all.crl"))
    broken = bytearray(own)
    broken[-1] ^= 1
    later = own.replace(b"\x55\x1d\x14", b"\x55\x1d\x15")
    return {"no DER": (b"no list", number + 1), "empty": (b"", number + 1), "another shard's": (other, None),
            "another issuer's": (rsa, None), "the complete one": (complete, None), "its own under a higher number": (own, number + 1),
            "a broken signature": (bytes(broken), number + 1), "without number": (later, number + 1), "shortened": (own[:-1], number + 1),
            "behind it something": (own + b"\0", number + 1)}


@pytest.mark.parametrize("kind", ["no DER", "empty", "another shard's", "another issuer's", "the complete one", "a broken signature",
                                  "its own under a higher number", "without number", "shortened", "behind it something"])
def test_a_list_that_is_none_is_refused_and_replaced(box, kind):
    path = paths_of("ecc")[5]
    watch = ListWatch()
    served = watch.load(box["HTTP_URL"], path)
    der, number = foreign_lists(box, path, number_of(served))[kind]
    if number is None:  # what its own number is, so that this alone would not tell
        number = number_of(x509.load_der_x509_crl(der))
        if number <= number_of(served):  # make the foreign one newer
            number = number_of(served) + 1
    before = refused(box)
    key = plant(box, path, number, der)
    assert wait_until(lambda: refused(box) > before, RECOVERY)

    def is_replaced():
        crl = watch.load(box["HTTP_URL"], path)
        check_form(box, crl, path, "ecc")
        return number_of(crl) > number_of(served) and int(redis(box, "HGET", f"crl:{key}", "number")) == number_of(crl)

    assert wait_until(is_replaced, RECOVERY)
    assert wait_until(lambda: box.admin.metrics()["originca_crls_refused"] == 0, RECOVERY)


def test_a_foreign_list_with_a_newer_number_of_its_own_is_refused_by_its_url(box):
    """Only its issuingDistributionPoint tells that it is another's."""
    path, other = paths_of("ecc")[2:4]
    while True:
        identifier, leaf = create(box)
        if path_of(leaf) == other:
            break
    rest(box).revoke(identifier)
    wait_listed(box, leaf)
    der = fetch(box["HTTP_URL"], other)[2]
    number, before = number_of(x509.load_der_x509_crl(der)), refused(box)
    assert number > number_of(load(box["HTTP_URL"], path))
    plant(box, path, number, der)
    assert wait_until(lambda: refused(box) > before, RECOVERY)
    assert "issuingDistributionPoint is of another list" in box.log_text()
    check_form(box, load(box["HTTP_URL"], path), path, "ecc")


def test_a_list_that_is_lost_in_redis_keeps_no_other_from_being_made(box):
    identifier, leaf = create(box)
    lost = next(path for path in paths_of("ecc") if path != path_of(leaf))
    key = plant(box, lost, number_of(load(box["HTTP_URL"], lost)) + 1)
    redis(box, "DEL", f"crl-der:{key}")
    assert rest(box).revoke(identifier).status == 200
    wait_listed(box, leaf)
    assert wait_until(lambda: redis(box, "EXISTS", f"crl-der:{key}") == "1", RECOVERY)


def test_a_claim_that_never_ends_is_none(box):
    identifier, leaf = create(box)
    redis(box, "HSET", f"crl:{list_id(box, path_of(leaf))}", "claimed", "99999999999999")
    assert rest(box).revoke(identifier).status == 200
    wait_listed(box, leaf)


def test_a_host_without_lists_takes_none_that_is_foreign(box, second):
    path = paths_of("ecc")[7]
    plant(box, path, int(time.time() * 1000) + 1000, fetch(box["HTTP_URL"], "/crl/r0")[2])
    second.start()
    try:
        base = plain_url(second.base_url)
        assert wait_until(lambda: fetch(base, path)[0] == 200, RECOVERY)
        check_form(box, load(base, path), path, "ecc")
        assert wait_until(lambda: fetch(base, path)[2] == fetch(box["HTTP_URL"], path)[2], RECOVERY)
    finally:
        second.stop()
        box.admin_command("ledger", "excuse", "second", "--for-good", check=False)


# What operators see


def test_each_list_has_its_metrics_and_its_age_from_when_it_was_made(box):
    identifier, leaf = create(box)
    assert rest(box).revoke(identifier).status == 200
    wait_listed(box, leaf)
    path, url = path_of(leaf), box["HTTP_URL"] + path_of(leaf)
    crl = load(box["HTTP_URL"], path)
    labels = f'{{issuer="ecc",list="{url}"}}'

    def is_told():
        metrics = box.admin.metrics()
        return metrics.get(f"originca_crl_list_number{labels}") == number_of(crl)

    assert wait_until(is_told, RECOVERY)
    metrics = box.admin.metrics()
    assert metrics[f"originca_crl_list_entries{labels}"] == len(list(crl))
    assert metrics[f"originca_crl_list_bytes{labels}"] == len(fetch(box["HTTP_URL"], path)[2])
    assert metrics[f"originca_crl_list_age_seconds{labels}"] < 120  # thisUpdate lies 300 seconds back
    assert metrics[f"originca_crl_list_next_update_timestamp_seconds{labels}"] > time.time() + 86400
    assert metrics[f"originca_crl_list_signatures_total{labels}"] >= 1
    assert metrics['originca_crl_list_number{issuer="ecc",list="all"}'] > 0
    ages = [value for name, value in metrics.items() if name.startswith("originca_crl_list_age_seconds")]
    assert len(ages) == 2 * (SHARDS + 1) and max(ages) <= metrics["originca_crl_age_seconds"] + 2
    shown = next(item for item in box.admin.get("crls")["items"] if item["url"] == url)
    assert 0 <= shown["age_seconds"] < 120 and shown["bytes"] > 100 and "problem" not in shown


def test_why_a_list_cannot_be_made_is_told(box):
    identifier, leaf = create(box)
    key, url = list_id(box, path_of(leaf)), box["HTTP_URL"] + path_of(leaf)
    assert rest(box).revoke(identifier).status == 200
    wait_listed(box, leaf)
    time.sleep(2.1)  # crl_settle_seconds

    def problem():
        return next(item.get("problem", "") for item in box.admin.get("crls")["items"] if item["url"] == url)

    is_over = threading.Event()

    def take_entries():  # the signer lets out no list that lacks what its ledger revoked
        while not is_over.wait(0.05):
            redis(box, "DEL", f"crl-entries:{key}")
            redis(box, "ZADD", "crls-due", "0", key)

    somebody = threading.Thread(target=take_entries)
    somebody.start()
    try:
        look_at_problem(box, url, problem)
    finally:
        is_over.set()
        somebody.join()
    assert wait_until(lambda: not problem(), RECOVERY)
    assert wait_until(lambda: box.admin.metrics()["originca_crls_failing"] == 0, RECOVERY)
    wait_listed(box, leaf)
    assert issuing(box, "ecc").subject == load(box["HTTP_URL"], path_of(leaf)).issuer


def look_at_problem(box, url, problem):
    assert wait_until(lambda: "not in the list" in problem(), RECOVERY), box.log_text()[-3000:]
    assert wait_until(lambda: box.admin.metrics()["originca_crls_failing"] == 1, RECOVERY)
    assert box.admin.metrics()[f'originca_crl_list_failures_total{{issuer="ecc",list="{url}"}}'] >= 1
    assert wait_until(lambda: "not in the list" in box.admin_command("crl", "list").stdout, RECOVERY)


def test_a_reload_without_an_issuer_that_has_certificates_is_an_alarm(box):
    result = rest(box).create([box.name()], request_type="origin-rsa", csr=make_csr()).result
    path = Path(box["CONFIG"])
    good = path.read_text()
    start = good.index('issuer "rsa" {')
    without = good[:start] + good[good.index("}\n", start) + 2:]
    without = re.sub(r'(rest_rsa_issuer|acme_rsa_issuer) = "rsa"', r'\1 = "ecc"', without)
    if "rest_rsa_issuer" not in without:
        without = without.replace("rest {", 'rest {\n    rest_rsa_issuer = "ecc"', 1) if "rest {" in without else \
            without + '\nrest {\n    rest_rsa_issuer = "ecc"\n}\n'
    try:
        path.write_text(without)
        box.server_tool("reload")
        assert wait_until(lambda: box.admin.metrics().get("originca_crl_missing_issuers") == 1, RECOVERY)
        assert "an issuer that has certificates is not in the configuration" in box.log_text()
        told = box.admin.get("crls")["items"]
        assert all(("not in the configuration" in item.get("problem", "")) is (item["issuer"] == "rsa") for item in told)
        assert fetch(box["HTTP_URL"], path_of(leaf_of(result), "rsa"))[0] == 200
    finally:
        path.write_text(good)
        box.server_tool("reload")
    assert wait_until(lambda: box.admin.metrics().get("originca_crl_missing_issuers") == 0, RECOVERY)


def test_entries_that_no_list_can_have_keep_no_other_from_it(box):
    identifier, leaf = create(box)
    path = path_of(leaf)
    key, end = list_id(box, path), str(int(time.time()) + 86400)
    now = int(time.time())
    early, odd = "11" * 15 + "01", "11" * 15 + "02"
    wrong = ["", "nothing", "11" * 16, "11" * 16 + ":x:1", "11" * 17 + f":{now}:4", "ff" * 16 + f":{now}:4", "00" * 16 + f":{now}:4"]
    corrected = [f"{early}:{now + 900000}:4", f"{odd}:{now}:7"]
    for member in wrong + corrected:
        redis(box, "ZADD", f"crl-entries:{key}", end, member)
    before = box.log_text().count("Redis has entries that")
    assert rest(box).revoke(identifier).status == 200
    wait_listed(box, leaf)
    crl = load(box["HTTP_URL"], path)
    check_form(box, crl, path, "ecc")
    listed = {f"{each.serial_number:032x}" for each in crl}
    assert {early, odd} <= listed and "11" * 16 not in listed
    assert wait_until(lambda: box.admin.metrics()["originca_crl_wrong_entries"] == len(wrong) + len(corrected), RECOVERY)
    # Made once more, told once; and they leave with their certificates' end.
    for member in wrong + corrected:
        redis(box, "ZADD", f"crl-entries:{key}", str(now - 86400), member)
    for expected in (len(wrong) + len(corrected), 0):
        number = number_of(load(box["HTTP_URL"], path))
        redis(box, "ZADD", "crls-due", "0", key)
        assert wait_until(lambda: number_of(load(box["HTTP_URL"], path)) > number, RECOVERY)
        assert wait_until(lambda: box.admin.metrics()["originca_crl_wrong_entries"] == expected, RECOVERY)
    assert box.log_text().count("Redis has entries that") == before + 1
    redis(box, "ZREM", f"crl-entries:{key}", *wrong, *corrected)


PLANT_LISTS = """for at = 1, 600 do
  local id, url = 'x' .. at, 'http://x' .. at .. '.test/c'
  if ARGV[1] == 'plant' then
    redis.call('HSET', 'crl-lists', 'nobody ' .. url, id)
    redis.call('HSET', 'crl:' .. id, 'issuer', 'nobody', 'url', url)
    redis.call('ZADD', 'crls-due', 1, id)
  else
    redis.call('HDEL', 'crl-lists', 'nobody ' .. url)
    redis.call('ZREM', 'crls-due', id)
    redis.call('DEL', 'crl:' .. id)
  end
end"""


def test_lists_that_cannot_be_made_delay_no_other(box):
    """Ten times as many as there would be time for if each cost a second."""
    identifier, leaf = create(box)
    redis(box, "EVAL", PLANT_LISTS, "0", "plant")
    try:
        assert rest(box).revoke(identifier).status == 200
        wait_listed(box, leaf)
        assert wait_until(lambda: box.admin.metrics()["originca_crl_failures_total"] > 0, RECOVERY)
    finally:
        redis(box, "EVAL", PLANT_LISTS, "0", "remove")


# What cannot be read


def unreadable(box):
    return box.admin.metrics()["originca_crl_unreadable"]


def test_revocations_that_cannot_be_sorted_stop_no_list_and_are_tried_again(box):
    (identifier, leaf), (other, second) = create(box), create(box)
    strange, wrong, broken = "22" * 16, "33" * 16, f"{second.serial_number:032x}"
    key = f"certificate:{broken}"
    url = redis(box, "HGET", key, "crl")
    redis(box, "SET", f"certificate:{strange}", "no hash")
    redis(box, "HSET", f"certificate:{wrong}", "issuer", "ecc", "entry", "nothing", "der", "x", "status", "revoked", "not_after", "never")
    assert rest(box).revoke(other).status == 200
    redis(box, "HDEL", key, "crl")  # a genuine one, as of before there were lists
    redis(box, "RENAME", key, "spare")
    redis(box, "SET", key, "no hash")
    redis(box, "SADD", "crl-unsorted", broken)
    for member in (strange, wrong, "", "no serial", "ff" * 40):
        redis(box, "SADD", "crl-unsorted", member)
    assert rest(box).revoke(identifier).status == 200
    wait_listed(box, leaf)
    assert wait_until(lambda: unreadable(box) == 6, RECOVERY), unreadable(box)
    assert "Redis has a revoked certificate that cannot be read" in box.log_text()
    assert "Redis has revocations whose list cannot be read" in box.log_text()
    assert load(box["HTTP_URL"], "/crl/ecc-all.crl").get_revoked_certificate_by_serial_number(second.serial_number)
    redis(box, "RENAME", "spare", key)
    redis(box, "ZADD", "crl-unreadable", "1", broken)  # an hour later
    assert wait_until(lambda: redis(box, "HGET", key, "crl") == url, RECOVERY)
    wait_listed(box, second)
    redis(box, "DEL", f"certificate:{strange}", f"certificate:{wrong}", "crl-unreadable")
    assert wait_until(lambda: unreadable(box) == 0, RECOVERY)


@pytest.mark.parametrize("key", ["crl-unsorted", "crl-unreadable", "crls-due", "crls-published", "crls-sequence", "crls-adopted"])
def test_what_is_of_another_kind_stops_no_list(box, key):
    (identifier, leaf), (other, second) = create(box), create(box)
    redis(box, "DEL", key)
    redis(box, "HSET", key, "some", "thing")
    if key == "crl-unsorted":  # one that was in it
        redis(box, "HDEL", f"certificate:{second.serial_number:032x}", "crl")
    assert rest(box).revoke(other).status in (200, 503)
    assert wait_until(lambda: rest(box).revoke(identifier).status == 200, RECOVERY)
    assert wait_until(lambda: rest(box).revoke(other).status in (200, 400), RECOVERY)
    wait_listed(box, leaf)
    wait_listed(box, second)


def test_a_list_of_another_kind_is_made_again_and_stops_no_other(box):
    identifier, leaf = create(box)
    spoilt = next(path for path in paths_of("ecc") if path != path_of(leaf))
    key, number = list_id(box, spoilt), number_of(load(box["HTTP_URL"], spoilt))
    redis(box, "DEL", f"crl:{key}", f"crl-entries:{list_id(box, paths_of('rsa')[0], 'rsa')}")
    redis(box, "SET", f"crl:{key}", "no hash")
    assert rest(box).revoke(identifier).status == 200
    wait_listed(box, leaf)
    assert wait_until(lambda: number_of(load(box["HTTP_URL"], spoilt)) > number, RECOVERY)


PLANT_OURS = """for at = 1, 60 do
  local id, url = 'y' .. at, 'http://y' .. at .. '.test/c'
  redis.call('HSET', 'crl-lists', 'ecc ' .. url, id)
  redis.call('HSET', 'crl:' .. id, 'issuer', 'ecc', 'url', url)
  redis.call('ZADD', 'crls-due', 1, id)
end
redis.call('HSET', 'crl:z', 'issuer', 'e\\0c', 'url', 'http://x\\0')
redis.call('HSET', 'crl-lists', 'z', 'z')
redis.call('ZADD', 'crls-due', 1, 'z')"""


def test_lists_that_no_certificate_names_are_signed_up_to_a_bound(box):
    identifier, leaf = create(box)
    redis(box, "EVAL", PLANT_OURS, "0")

    def signed():
        return {record["url"] for record in box.ledger("crl") if record["url"].startswith("http://y")}

    assert wait_until(lambda: len(signed()) == 20, RECOVERY), len(signed())
    assert wait_until(lambda: "crl_max_foreign_lists" in box.log_text(), RECOVERY)
    assert rest(box).revoke(identifier).status == 200
    wait_listed(box, leaf)
    assert len(signed()) == 20


# A worker that says something else of a certificate


def lie(run_directory, box, leaf):
    """Revoked under the other issuer's name, and that issuer's list of another shard."""
    serial = leaf.serial_number.to_bytes(16, "big")
    with SignerLink(run_directory) as worker:
        reply = worker.ask(REVOKE, revocation(serial, 4, "certificate-key", "rsa", int(time.time()) + 86400,
                                              f"{box['HTTP_URL']}/crl/r{serial[-1] % SHARDS:x}"))
        assert reply.code == OK, reply.message


def check_made(box, path):
    number = number_of(load(box["HTTP_URL"], path))
    issuer = "rsa" if path.startswith("/crl/r") else "ecc"
    redis(box, "ZADD", "crls-due", "0", list_id(box, path, issuer))
    assert wait_until(lambda: number_of(load(box["HTTP_URL"], path)) > number, RECOVERY), path


def test_the_ledger_knows_whose_certificate_is_revoked(box):
    _, leaf = create(box)
    lie(Path(box["ADMIN_SOCKET"]).parent, box, leaf)
    wait_listed(box, leaf)
    record = next(each for each in box.ledger("revoked") if each["serial"] == f"{leaf.serial_number:032x}")
    assert record["issuer"] == "ecc" and record["crl"] == box["HTTP_URL"] + path_of(leaf)
    assert "a revocation names another issuer than the ledger" in box.log_text()
    time.sleep(1.1)  # crl_settle_seconds
    check_made(box, "/crl/rsa-all.crl")
    assert load(box["HTTP_URL"], "/crl/rsa-all.crl").get_revoked_certificate_by_serial_number(leaf.serial_number) is None


def test_what_another_hosts_worker_says_of_a_certificate_keeps_it_from_no_list(box, second):
    _, leaf = create(box)
    second.start()
    try:
        lie(second.folder, box, leaf)  # that signer has not issued it
        wait_listed(box, leaf)
        time.sleep(1.1)
        for path in ("/crl/rsa-all.crl", f"/crl/r{(leaf.serial_number & 0xff) % SHARDS:x}", "/crl/ecc-all.crl", path_of(leaf)):
            check_made(box, path)
    finally:
        second.stop()
        box.admin_command("ledger", "excuse", "second", "--for-good", check=False)
