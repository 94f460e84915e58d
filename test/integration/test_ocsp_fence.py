"""A revocation that was acknowledged is in every OCSP answer from then on, whatever dies or goes back in time meanwhile: asked
all the time, of every worker, with and without nonces, while it happens."""

import http.client
import secrets
import threading
import time
from urllib.parse import urlsplit

import pytest

from acme_kit import issue_leaf
from ocsp_kit import Responder, cert_id, issuer_of, nonce_extension, request, responder_of
from test_going_back import OldCopy, redis, start_redis
from test_two_hosts import Customer, hosts, new_zone  # noqa: F401: a fixture
from under_test import stopped, wait_until
from verify import der_of, load_chain

SANDBOX_OPTIONS = ("--workers", "2", "--set", "limits.ocsp_signed_per_address=0", "--set", "server.retire_idle_seconds=0",
                   "--set", "dns.dns_referral_max_ttl=0", "--set", "dns.dns_share_ms=0")
RECOVERY = 60
CUT_OFF = "cut off"


class Watcher:
    """Asks about a certificate without end; each answer with the moment at which it was asked for."""

    def __init__(self, box, issuer, serial, has_nonce):
        self.box, self.asked, self.has_nonce = box, cert_id(issuer, serial), has_nonce
        self.seen, self.is_over = [], threading.Event()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _ask(self):
        extensions = [nonce_extension(secrets.token_bytes(16))] if self.has_nonce else []
        responder = responder_of(self.box)  # a connection each: of any worker
        try:
            return responder.post(request(self.asked, extensions=extensions)).status
        except (OSError, http.client.HTTPException):
            return CUT_OFF  # refused, reset, closed in the middle: the worker that had it died
        finally:
            responder.close()

    def _run(self):
        while not self.is_over.is_set():
            began = time.monotonic()
            self.seen.append((began, self._ask()))
            time.sleep(0.01)

    def end(self):
        self.is_over.set()
        self.thread.join()

    def said(self):
        return {status for _, status in self.seen}


@pytest.fixture
def box(own_sandbox):
    own_sandbox.wait_ready(RECOVERY)
    yield own_sandbox
    own_sandbox.wait_ready(RECOVERY)


def restart_redis(box, copy):
    box.kill_redis()
    start_redis(box)


def restore_redis(box, copy):
    copy.put_back()


def go_back_under_the_connection(box, copy):
    """As an import of old data does it: certificate and kept answer are as before the revocation."""
    script = ("redis.call('HSET', 'ledger:sandbox', 'applied', 0) redis.call('DEL', 'ledger-ahead:sandbox') "
              "redis.call('HSET', KEYS[1], 'status', 'valid') redis.call('HDEL', KEYS[1], 'revoked', 'reason', 'by') return 1")
    redis(box, "EVAL", script, "1", f"certificate:{copy.serial:032x}")


def kill_signer(box, copy):
    box.kill(box.signer())


def kill_workers(box, copy):
    for pid in box.workers():
        box.kill(pid)


def stop_redis_for_a_while(box, copy):
    with stopped(box.processes.pid("redis")):
        time.sleep(4)


@pytest.mark.parametrize("disturb", [restart_redis, restore_redis, go_back_under_the_connection, kill_signer, kill_workers,
                                     stop_redis_for_a_while])
def test_what_was_acknowledged_as_revoked_is_never_good_again(box, disturb, tmp_path):
    owner, issuer = box.client(), issuer_of(box)
    leaf, other = issue_leaf(box, owner)[1], issue_leaf(box, owner)[1]
    watchers = [Watcher(box, issuer, leaf.serial_number, has_nonce) for has_nonce in (False, True)]
    bystander = Watcher(box, issuer, other.serial_number, False)
    everybody = [*watchers, bystander]
    try:
        assert wait_until(lambda: all("good" in each.said() for each in everybody), RECOVERY), [each.said() for each in everybody]
        copy = OldCopy(box, tmp_path)
        copy.serial = leaf.serial_number
        owner.revoke(der_of(leaf), 4).expect(200)
        acknowledged = time.monotonic()
        assert wait_until(lambda: "revoked" in watchers[0].said(), RECOVERY)
        disturb(box, copy)
        disturbed = time.monotonic()
        box.wait_ready(RECOVERY)

        def all_are_answered():
            return all({"revoked", "good"} & {status for began, status in each.seen[-1:]} for each in everybody)

        assert wait_until(lambda: time.monotonic() > disturbed + 3 and all_are_answered(), RECOVERY)
    finally:
        for each in everybody:
            each.end()
        owner.close()
    for each in watchers:
        later = [(began - acknowledged, status) for began, status in each.seen if began > acknowledged]
        assert not [one for one in later if one[1] == "good"], later
        assert {status for _, status in later} <= {"revoked", "tryLater", CUT_OFF}, later
    assert "revoked" not in bystander.said() and "unauthorized" not in bystander.said()


def test_while_redis_is_away_everything_is_told_to_come_again(box):
    owner, issuer = box.client(), issuer_of(box)
    leaf = issue_leaf(box, owner)[1]
    responder = responder_of(box)
    asked = request(cert_id(issuer, leaf.serial_number))
    assert responder.get(asked).status == "good"
    box.kill_redis()
    for body in (asked, request(cert_id(issuer, 1 << 126 | 5))):
        answer = responder.get(body)
        assert (answer.http_status, answer.status, answer.headers["Cache-Control"]) == (200, "tryLater", "no-store")
    start_redis(box)
    box.wait_ready(RECOVERY)
    assert responder.get(asked).status == "good"
    responder.close()
    owner.close()


def test_a_revocation_at_one_host_is_in_the_next_answer_of_the_other(hosts):  # noqa: F811
    owner, zone = Customer(hosts, 0), new_zone()
    owner.own(zone, 1)
    issuer = issuer_of(hosts[0].sandbox)
    asks = [Responder(f"http://127.0.0.1:{urlsplit(host.base_url).port + 1}/ocsp") for host in hosts]
    for at in (0, 1):
        _, chain, _ = owner.clients[at].issue([f"at{at}.{zone}"])
        leaf = load_chain(chain)[0]
        asked = request(cert_id(issuer, leaf.serial_number))
        assert [each.get(asked).status for each in asks] == ["good", "good"]
        owner.clients[1 - at].revoke(der_of(leaf), 4).expect(200)
        assert [each.get(asked).status for each in asks] == ["revoked", "revoked"]
    for each in asks:
        each.close()


def test_a_revocation_at_one_host_outlives_an_old_copy_of_redis_at_the_other(hosts, tmp_path):  # noqa: F811
    """The other host's own ledger knows nothing of it: it waits until the one that does has brought it back."""
    box = hosts[0].sandbox
    owner, zone = Customer(hosts, 0), new_zone()
    owner.own(zone, 0)
    _, chain, _ = owner.clients[0].issue([f"old.{zone}"])
    leaf = load_chain(chain)[0]
    watchers = [Watcher(box, issuer_of(box), leaf.serial_number, has_nonce) for has_nonce in (False, True)]
    try:
        assert wait_until(lambda: all("good" in each.said() for each in watchers), RECOVERY)
        copy = OldCopy(box, tmp_path)
        owner.clients[1].revoke(der_of(leaf), 4).expect(200)
        acknowledged = time.monotonic()
        copy.put_back()
        assert wait_until(lambda: all(host.admin.readiness()[0] for host in hosts), RECOVERY)
        assert wait_until(lambda: all(each.seen[-1][1] == "revoked" for each in watchers), RECOVERY)
    finally:
        for each in watchers:
            each.end()
    later = [status for each in watchers for began, status in each.seen if began > acknowledged]
    assert "good" not in later and "unauthorized" not in later, later
