"""A certificate is revoked for keyCompromise after another reason while its list is being read, page by page: the list that is made
of that has it all the same, with one reason or the other."""

import re
import secrets
import subprocess
import tempfile
import time

import pytest
from cryptography import x509

from crl_kit import load, number_of, path_of
from redis_gate import RedisGate
from rest_client import leaf_of, make_csr, rest
from test_crl import wait_listed, wait_published
from test_going_back import redis
from test_handover import sha1_of
from test_two_hosts import with_second
from under_test import wait_until

SANDBOX_OPTIONS = ("--set", "revocation.crl_delay_ms=1000", "--set", "revocation.crl_max_unproven=20000", "--workers", "1",
                   "--set", "redis.redis_command_timeout_ms=30000")
RECOVERY = 60
COMPLETE = "/crl/ecc-all.crl"
OTHERS = 9000  # entries, so that the list is read in several pages
UPGRADED = 30  # the old and the new entry lie anywhere among them


@pytest.fixture
def box(own_sandbox):
    wait_published(own_sandbox)
    return own_sandbox


@pytest.fixture
def gate(box):
    """Between Redis and a second host that makes lists too."""
    with tempfile.TemporaryDirectory(prefix="originca-gate-") as folder:
        gate = RedisGate(f"{folder}/redis.sock", box["REDIS_SOCKET"])
        with with_second(box, f"{folder}/redis.sock"):
            yield gate
        gate.close()


def create(box):
    result = rest(box).create([box.name()], request_type="origin-ecc", csr=make_csr()).result
    return result["id"], leaf_of(result)


def revoke(box, identifier, reason):
    assert rest(box).revoke(identifier, {"reason": reason}).status == 200


def add_entries(box, key, count):
    end, began = int(time.time()) + 86400, int(time.time()) - 3600
    commands = "".join(f"ZADD crl-entries:{key} {end} 1{secrets.token_hex(16)[1:]}:{began}:0\n" for _ in range(count))
    subprocess.run(["redis-cli", "-s", box["REDIS_SOCKET"]], input=commands.encode(), check=True, capture_output=True, timeout=60)


def has_key_compromise(box, leaf):
    """On both lists."""
    entries = [load(box["HTTP_URL"], path).get_revoked_certificate_by_serial_number(leaf.serial_number)
               for path in (COMPLETE, path_of(leaf))]
    return all(entry and [each.value.reason for each in entry.extensions] == [x509.ReasonFlags.key_compromise] for entry in entries)


def test_a_reason_that_changes_while_the_list_is_read_takes_nobody_off_it(box, gate):
    made = [create(box) for _ in range(UPGRADED)]
    for identifier, _ in made:
        revoke(box, identifier, "superseded")
    key = redis(box, "HGET", "crl-lists", "ecc ")
    add_entries(box, key, OTHERS)
    for _, leaf in made:
        wait_listed(box, leaf, "superseded")
    upgraded = []

    def upgrade():
        for identifier, _ in made:
            revoke(box, identifier, "keyCompromise")
        upgraded.append(time.monotonic())

    later_page = rb"%s\r\n\$1\r\n0\r\n\$%d\r\n%s\r\n\$(?!1\r\n0\r\n)" % (sha1_of("scan_crl"), len(key), key.encode())
    gate.before(re.compile(later_page), upgrade)
    before, lacking = number_of(load(box["HTTP_URL"], COMPLETE)), []

    def look():
        crl = load(box["HTTP_URL"], COMPLETE)
        lacking.extend((number_of(crl), hex(leaf.serial_number)) for _, leaf in made
                       if crl.get_revoked_certificate_by_serial_number(leaf.serial_number) is None)
        return number_of(crl)

    for _ in range(40):  # until it is the second host that makes the list
        revoke(box, create(box)[0], "superseded")
        assert wait_until(lambda last=before: look() > last, RECOVERY, pause=0.1)
        before = look()
        if upgraded:
            break
    assert upgraded
    assert wait_until(lambda: look() and all(has_key_compromise(box, leaf) for _, leaf in made), RECOVERY, pause=0.1)
    assert lacking == []
    assert "was to be signed without" not in box.log_text()
    assert wait_until(lambda: look() and redis(box, "ZCARD", f"crl-replaced:{key}") == "0", RECOVERY)
    assert redis(box, "ZCARD", f"crl-entries:{key}") == str(len(load(box["HTTP_URL"], COMPLETE)))
