"""What a worker that was taken over can ask the signer for. The tests speak the frame protocol themselves."""

import base64
import contextlib
import json
import os
import secrets
import socket
import time
from pathlib import Path

import pytest
from cryptography import x509

from acme_raw import AccountKey
from signer_link import (ATTEMPT, CHECK_POSITION, CONFIRM_LOSS, CONFLICT, INVALID, LIST_CRLS, OK, READ, REFUSED, RETRY_TOKEN, REVOKE,
                         SET_SIGNING, SIGN, SIGN_OCSP, STATUS, UNAVAILABLE, SignerLink, any_serial, change, position, revocation, sign_request, text, u8, u32, u64)
from under_test import children, name_of, run, wait_until

SANDBOX_OPTIONS = ("--set", "signer.signer_unread_bytes=65536", "--set", "signer.signer_unread_seconds=3",
                   "--set", "signer.signer_worker_changes_per_second=50")


@pytest.fixture
def box(own_sandbox):
    own_sandbox.wait_ready()
    before = own_sandbox.signer()
    yield own_sandbox
    assert own_sandbox.signer() == before, "the signer died"
    own_sandbox.wait_ready()


def run_directory(box):
    return Path(box["ADMIN_SOCKET"]).parent


@pytest.fixture
def worker(box):
    with SignerLink(run_directory(box)) as link:
        yield link


@pytest.fixture
def operator(box):
    with SignerLink(run_directory(box), is_operator=True) as link:
        yield link


def resident_kib(pid):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1])


def last_sequence(link):
    reply = link.ask(STATUS)
    reply.take(), reply.take()
    return reply.number()


def is_nothing_new(operator, sequence):
    """No record behind this one but those of revocation lists, which the admin process has signed meanwhile."""
    return all(record["type"] == "crl" for record in operator.records(sequence + 1))


def is_served(box):
    with contextlib.closing(box.client()) as client:
        client.issue([box.name()])


OPERATORS_MESSAGES = {
    "stop": (SET_SIGNING, u8(0) + text("admin:test")),
    "allow": (SET_SIGNING, u8(1) + text("admin:test")),
    "confirm loss": (CONFIRM_LOSS, u64(2**64 - 3) + text("admin:test")),
    "confirm a small loss": (CONFIRM_LOSS, u64(5) + text("admin:test")),
    "retry token": (RETRY_TOKEN, text("admin:test")),
    "attempt": (ATTEMPT, text("nobody-knows")),
    "read": (READ, u64(1) + u32(10)),
    "list revocation lists": (LIST_CRLS, u32(0) + u32(10)),
    "unknown": (99, b""),
    "none": (0, b""),
}


@pytest.mark.parametrize("kind", OPERATORS_MESSAGES)
def test_a_worker_may_not_send_an_operators_message(box, worker, kind, operator):
    refused = box.admin.metrics().get("originca_signer_refused_total", 0)
    sequence = last_sequence(worker)
    reply = worker.ask(*OPERATORS_MESSAGES[kind])
    assert reply.code == REFUSED, reply.message
    assert is_nothing_new(operator, sequence)
    assert box.admin.metrics()["originca_signer_refused_total"] == refused + 1
    assert "the signer refused a message" in box.log_text()


@pytest.mark.parametrize("kind", ["zone-added", "zone-ended", "zone-paused", "zone-resumed", "customer-suspended",
                                  "customer-resumed", "issuer-stopped", "issuer-allowed", "api-key-ended", "eab-key-ended", "zones-known", "host-excused",
                                  "emptied-accepted", "secrets-accepted"])
def test_a_worker_may_not_give_or_take_an_operators_right(worker, kind, operator):
    sequence = last_sequence(worker)
    has_zone = kind == "zone-added"
    reply, _ = worker.change_rights(change("account-deactivated", "a1", by="account:a1"),
                                    change(kind, "x1", "x.test" if has_zone else "", "c1" if has_zone else ""))
    assert reply.code == REFUSED, reply.message
    assert is_nothing_new(operator, sequence)  # nothing of the call


@pytest.mark.parametrize("by", ["admin:uid=0", "bulk", "somebody", ""])
def test_a_worker_may_not_revoke_as_an_operator(worker, by, operator):
    sequence = last_sequence(worker)
    reply = worker.ask(REVOKE, revocation(any_serial(), 1, by))
    assert reply.code == REFUSED, reply.message
    assert is_nothing_new(operator, sequence)


def test_a_worker_may_end_what_its_protocols_end(worker, operator):
    reply, results = worker.change_rights(change("account-deactivated", "acc-1", by="account:acc-1"),
                                          change("zone-moved", "zone-1", by="reconciler", detail="delegated to ns.other.test"),
                                          change("zone-returned", "zone-1", by="reconciler"))
    assert reply.code == OK, reply.message
    records = operator.records(results[0][0])
    assert [(record["seq"], record["hash"], record["at_ms"]) for record in records[:3]] == [
        (sequence, digest, moment) for sequence, moment, digest in results]
    assert [record["type"] for record in records[:3]] == ["account-deactivated", "zone-moved", "zone-returned"]
    assert records[0]["account"] == "acc-1" and records[1]["detail"] == "delegated to ns.other.test"


def test_a_key_change_holds_the_public_key_and_nothing_else(worker, operator):
    key = AccountKey()
    public, thumbprint = key.jwk, key.thumbprint
    for wrong in (change("account-key-changed", "acc-2", thumbprint, by="account:acc-2"),
                  change("account-key-changed", "acc-2", "x" * 43, detail=json.dumps(public), by="account:acc-2"),
                  change("account-key-changed", "acc-2", thumbprint, detail="{}", by="account:acc-2"),
                  change("account-key-changed", "acc-2", thumbprint, "c1", detail=json.dumps(public), by="account:acc-2")):
        reply, _ = worker.change_rights(wrong)
        assert reply.code == INVALID, reply.message
    reply, results = worker.change_rights(
        change("account-key-changed", "acc-2", thumbprint, detail=json.dumps(public | {"kid": "x" * 200}), by="account:acc-2"))
    assert reply.code == OK, reply.message
    record = operator.records(results[0][0], 1)[0]
    assert record["thumbprint"] == thumbprint and record["jwk"]["kty"] == public["kty"] and "kid" not in record["jwk"]


MALFORMED = {
    "control character": change("account-deactivated", "a1", by="account:a1\n"),
    "long who": change("account-deactivated", "a1", by="a" * 201),
    "who is no UTF-8": change("account-deactivated", "a1", by=b"account:\xa1"),
    "no who": change("account-deactivated", "a1", by=""),
    "long id": change("account-deactivated", "a" * 129, by="x"),
    "no id": change("account-deactivated", "", by="x"),
    "strange id": change("account-deactivated", "a b", by="x"),
    "unknown kind": change("zone-painted", "a", by="x"),
    "name of a zone": change("zone-moved", "a", name="x.test", by="x"),
    "long detail": change("zone-moved", "a", detail="x" * 501, by="x"),
    "no UTF-8": change("zone-moved", "a", detail=b"\xff\xfe", by="x"),
    "rest": change("zone-moved", "a", by="x") + b"x",
    "cut": change("zone-moved", "a", by="x")[:-1],
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_a_malformed_change_writes_nothing(worker, operator, kind):
    sequence = last_sequence(worker)
    reply, _ = worker.change_rights(change("account-deactivated", "a1", by="account:a1"), MALFORMED[kind])
    assert reply.code == INVALID, reply.message
    assert is_nothing_new(operator, sequence)


def test_a_worker_may_not_tell_another_hosts_change(worker):
    reply, _ = worker.change_rights(change("account-deactivated", "a1", by="account:a1", at_ms=5))
    assert reply.code == REFUSED


def test_changes_of_workers_have_a_rate(worker, operator):
    codes = []
    for _ in range(10):
        reply, _ = worker.change_rights(*[change("account-deactivated", "a9", by="account:a9") for _ in range(20)])
        codes.append((reply.code, reply.message))
    assert UNAVAILABLE in [code for code, _ in codes]
    assert all("try again" in message for code, message in codes if code == UNAVAILABLE)
    reply, results = operator.change_rights(*[change("api-key-ended", f"key{at}") for at in range(1000)])
    assert reply.code == OK and len({sequence for sequence, _, _ in results}) == 1000  # operators have none
    assert wait_until(lambda: worker.change_rights(change("account-deactivated", "a9", by="account:a9"))[0].code == OK, 5)


def test_a_call_of_too_many_changes_is_refused(operator):
    assert operator.change_rights(*[change("api-key-ended", "k") for _ in range(1001)])[0].code == INVALID
    assert operator.change_rights()[0].code == INVALID


def test_a_position_from_a_worker_is_compared_and_no_more(box, worker):
    reply = worker.ask(CHECK_POSITION, position("0" * 32, 1, 1))
    assert reply.code == CONFLICT
    reply = worker.ask(CHECK_POSITION, position())
    assert reply.code == OK


def test_a_new_signer_is_opened_by_an_operators_position_alone(own_sandbox):
    """A worker's position, right or not, does not let a signer write that has just started."""
    box = own_sandbox
    others = [pid for pid in children(box.supervisor) if name_of(pid) != "oca-signer"]
    for pid in others:
        os.kill(pid, 19)
    try:
        box.kill(box.signer())
        assert wait_until(box.signer, 20)
        with SignerLink(run_directory(box), timeout=30) as worker, SignerLink(run_directory(box), True, timeout=30) as operator:
            assert worker.ask(CHECK_POSITION, position()).code == OK
            reply = operator.ask(ATTEMPT, text("nobody-knows"))  # held for position_wait_seconds
            assert reply.code == UNAVAILABLE and "waits to hear" in reply.message
            assert operator.ask(CHECK_POSITION, position()).code == OK
            assert operator.ask(ATTEMPT, text("nobody-knows")).code == OK
    finally:
        for pid in others:
            os.kill(pid, 18)
    box.wait_ready()


def test_a_loss_nobody_has_seen_is_not_confirmed(operator):
    reply = operator.ask(CONFIRM_LOSS, u64(2**64 - 3) + text("admin:test"))
    assert reply.code == INVALID and "no ledger" in reply.message
    for sequence in (2**52 - 1, last_sequence(operator) + 100000):
        reply = operator.ask(CONFIRM_LOSS, u64(sequence) + text("admin:test"))
        assert reply.code == INVALID, reply.message


def send_until_closed(link, data, seconds):
    """How many bytes were taken before the signer closed the connection; None where it did not."""
    link.socket.setblocking(False)
    sent, deadline = 0, time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            sent += link.socket.send(data[sent % len(data):] if sent % len(data) else data)
        except BlockingIOError:
            time.sleep(0.02)
        except (BrokenPipeError, ConnectionResetError):
            return sent
    return None


def test_unread_replies_stay_bounded_and_the_connection_goes(box):
    signer = box.signer()
    for _ in range(2):  # what the allocator keeps of the first one is there for the second
        before = resident_kib(signer)
        with SignerLink(run_directory(box)) as quiet:
            sent = send_until_closed(quiet, quiet.frame(STATUS) * 10000, 20)
            grown = resident_kib(signer) - before
        assert sent is not None and grown < 32 * 1024, (sent, grown)
    assert grown < 12 * 1024, sent
    assert "it does not read its replies" in box.log_text()
    is_served(box)


def test_others_are_served_while_one_floods(box, worker):
    with contextlib.ExitStack() as stack:
        flooders = [stack.enter_context(SignerLink(run_directory(box))) for _ in range(4)]
        frame = b"".join(flooders[0].frame(STATUS) for _ in range(500))
        for flooder in flooders:
            flooder.socket.setblocking(False)
        until = time.monotonic() + 4
        answered = 0
        while time.monotonic() < until:
            for flooder in flooders:
                with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
                    flooder.socket.send(frame)
                with contextlib.suppress(BlockingIOError, ConnectionResetError):
                    flooder.socket.recv(1 << 20)
            worker.ask(STATUS)
            answered += 1
        assert answered > 5
        is_served(box)


@pytest.mark.parametrize("bytes_", [b"\xff\xff\xff\xff", u32(0), u32(8) + bytes(8), u32(1024 * 1024 + 1)])
def test_a_frame_of_impossible_length_ends_the_connection(box, bytes_):
    with SignerLink(run_directory(box)) as link:
        link.socket.sendall(bytes_)
        assert link.socket.recv(1) == b""


def test_a_frame_that_never_ends_costs_its_own_size(box):
    with SignerLink(run_directory(box)) as link:
        link.socket.sendall(u32(1024 * 1024) + bytes(1000))
        is_served(box)


def test_random_fields_are_refused(worker):
    for kind in range(1, LIST_CRLS + 1):
        for length in (0, 1, 4, 7, 64, 3000):
            reply = worker.ask(kind, secrets.token_bytes(length))
            assert reply.code in (OK, INVALID, REFUSED, CONFLICT), (kind, length, reply.message)


def test_large_requests_are_taken_few_at_a_time(box, worker):
    """A thousand names in each: others do not wait for hundreds of them."""
    names = [f"n{at}.large.test" for at in range(1000)]
    large = sign_request(b"no key", names, [f"zone{at}" for at in range(1000)], "c1")
    with SignerLink(run_directory(box)) as flooder:
        flooder.socket.setblocking(False)
        data, sent, until = flooder.frame(SIGN, large) * 40, 0, time.monotonic() + 4
        while time.monotonic() < until:
            with contextlib.suppress(BlockingIOError):
                sent += flooder.socket.send(data[sent % len(data):])
            with contextlib.suppress(BlockingIOError):
                flooder.socket.recv(1 << 20)
            assert worker.ask(STATUS).code == OK
        assert sent > 10 * len(large)
        is_served(box)


def test_refusals_do_not_fill_the_log(box, worker):
    before = box.log_text().count("the signer refused a message")
    refused = box.admin.metrics()["originca_signer_refused_total"]
    for _ in range(2000):
        worker.send(READ, u64(1) + u32(10))
    for _ in range(2000):
        assert worker.receive().code == REFUSED
    assert box.admin.metrics()["originca_signer_refused_total"] == refused + 2000
    assert box.log_text().count("the signer refused a message") - before < 30


def test_a_process_has_so_many_connections(box):
    with contextlib.ExitStack() as stack:
        links = [stack.enter_context(SignerLink(run_directory(box))) for _ in range(20)]
        living = 0
        for link in links:
            with contextlib.suppress(ConnectionError, socket.timeout):
                living += link.ask(STATUS).code == OK
        assert living == 8
        is_served(box)


@pytest.mark.parametrize("serial, reason", [(b"\xff" * 16, 4), (b"\x80" + bytes(15), 4), (bytes(16), 4)] +
                         [(b"\x11" * 16, reason) for reason in (2, 6, 7, 8, 10, 11, 260, 2**32 - 1)])
def test_what_no_list_can_carry_does_not_get_into_the_ledger(worker, operator, serial, reason):
    sequence = last_sequence(worker)
    assert worker.ask(REVOKE, revocation(serial, reason, "recovery")).code == INVALID
    assert is_nothing_new(operator, sequence)


def test_a_second_revocation_is_told_the_known_reason(worker):
    serial = any_serial()

    def revoke(reason, by):
        reply = worker.ask(REVOKE, revocation(serial, reason, by))
        assert reply.code == OK, reply.message
        reply.number(), reply.number()
        return reply.number(1), reply.number(4)

    assert revoke(4, "account:a1") == (0, 4)
    assert revoke(5, "account:a1") == (1, 4)
    assert revoke(1, "account:a1") == (1, 1)
    assert revoke(3, "account:a1") == (1, 1)


def revoke_and_read(connection, operator, by="account:a1", **known):
    sequence = last_sequence(connection)
    reply = connection.ask(REVOKE, revocation(any_serial(), 4, by, **known))
    assert reply.code == OK, reply.message
    return next(record for record in operator.records(sequence + 1) if record["type"] == "revoked")


def url_of_a_certificate(box, operator):
    sequence = last_sequence(operator)
    is_served(box)
    return next(record["crl"] for record in operator.records(sequence + 1) if record["type"] == "issued")


def test_a_revocation_says_which_list_it_belongs_to(box, worker, operator):
    url = url_of_a_certificate(box, operator)
    soon = int(time.time()) + 86400

    def revoke(**known):
        record = revoke_and_read(worker, operator, **known)
        return record["issuer"], "not_after" in record, record.get("crl")

    assert revoke(not_after=soon, crl_url=url) == ("ecc", True, url)
    assert revoke() == ("ecc", False, None)
    for wrong in ("https://crl.provider.test/", 'http://"', "http://" + "a" * 500, "e7"):  # and revoked all the same
        assert revoke(not_after=2**63, crl_url=wrong) == ("ecc", False, None)


def test_a_worker_begins_no_list(box, worker, operator):
    url = url_of_a_certificate(box, operator)
    before = {record["url"] for record in box.admin.get("crls")["items"]}
    for invented in ("http://x.test/c", url + "0000", url + "/", url.replace("/e", "/x")):
        assert "crl" not in revoke_and_read(worker, operator, crl_url=invented)
    assert "crl" not in revoke_and_read(worker, operator, issuer="rsa", crl_url=url)  # another issuer's
    record = revoke_and_read(worker, operator, issuer="invented", crl_url=url)
    assert (record["issuer"], record.get("crl")) == ("", None)
    assert "not_after" not in revoke_and_read(worker, operator, not_after=253402300799)
    # A list of before that this ledger names, as of a former template.
    former = "http://former.test/c"
    assert revoke_and_read(operator, operator, by="admin:test", crl_url=former)["crl"] == former
    assert revoke_and_read(worker, operator, crl_url=former)["crl"] == former
    assert wait_until(lambda: former in {record["url"] for record in box.admin.get("crls")["items"]}, 20)
    assert {record["url"] for record in box.admin.get("crls")["items"]} <= before | {former, ""}


@pytest.mark.parametrize("reason", [1, 4, 0])
def test_a_worker_recovers_only_what_nobody_had(worker, operator, reason):
    sequence = last_sequence(worker)
    assert worker.ask(REVOKE, revocation(any_serial(), reason, "recovery")).code == REFUSED
    assert is_nothing_new(operator, sequence)
    assert worker.ask(REVOKE, revocation(any_serial(), 5, "recovery")).code == OK


def test_the_records_of_a_certificate_hold_the_url_in_it(box, operator):
    sequence = last_sequence(operator)
    is_served(box)
    records = {record["type"]: record for record in operator.records(sequence + 1)}
    assert records["intent"]["crl"] == records["issued"]["crl"]
    certificate = x509.load_der_x509_certificate(base64.b64decode(records["issued"]["certificate"]))
    points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    assert [point.full_name[0].value for point in points] == [records["issued"]["crl"]]


STRANGE_NAMES = ("account:", "account:" + "x" * 190, "account:a:b:c", "account:\x01\n", "api-key:\u2603", "account:*", "api-key:a b", "certificate-key",
                 b"account:\xff\xfe")


def test_whatever_a_worker_has_recorded_is_replayed_and_stops_nothing(box, worker, operator):
    """It tells Redis nothing of it, so the fence replays what the signer took: all of it, or as an alarm."""
    codes = [worker.ask(REVOKE, revocation(any_serial(), reason, by, issuer=issuer, not_after=end, crl_url=url)).code
             for by in STRANGE_NAMES for reason, issuer, end, url in (
                 (0, "", 0, ""), (1, "nobody", 2**63, "x" * 300), (4, "ecc", 1, "http://else.where/%n.crl"))]
    assert OK in codes, codes
    for at, kind in enumerate(("ES256", "ES384", "ES512", "RS256", "EdDSA")):
        key = AccountKey(kind)
        changes = (change("account-deactivated", "d" * 128, by="account:d"), change("zone-moved", f"nozone{at}", by="reconciler", detail="\u2603"),
                   change("zone-returned", f"nozone{at}", by="reconciler"), change("zone-returned", f"other{at}", by="reconciler"),
                   change("account-key-changed", f"noaccount{at}", key.thumbprint, detail=json.dumps(key.jwk), by="account:x"))
        for one in changes:
            assert worker.change_rights(one)[0].code in (OK, INVALID, CONFLICT, UNAVAILABLE)
    last = last_sequence(worker)

    def is_applied():
        return int(run(["redis-cli", "-s", box["REDIS_SOCKET"], "HGET", "ledger:sandbox", "applied"]).stdout or 0) >= last

    assert wait_until(is_applied, 30), box.admin.readiness()
    box.wait_ready()
    assert box.admin.metrics().get("originca_ledger_unreadable_total", 0) == box.log_text().count("makes no sense and is passed over")
    is_served(box)
