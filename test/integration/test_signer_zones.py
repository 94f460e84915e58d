"""The signer knows which zone operators gave to whom, and signs nothing else, whatever proof a worker presents. The tests
speak the frame protocol as a worker that was taken over, and as the process that holds the operators' connection."""

import contextlib
import json
import secrets
import shutil
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from acme_raw import make_key
from signer_link import CONFLICT, OK, REFUSED, SIGN, STATUS, STOPPED, UNAVAILABLE, SignerLink, append_record, change, sign_request
from under_test import wait_until

SANDBOX_OPTIONS = ("--set", "signer.checkpoint_records=100")


@pytest.fixture
def box(own_sandbox):
    own_sandbox.wait_ready()
    return own_sandbox


def link_to(box, is_operator):
    return SignerLink(Path(box["ADMIN_SOCKET"]).parent, is_operator)


@pytest.fixture
def worker(box):
    with link_to(box, False) as link:
        yield link


@pytest.fixture
def operator(box):
    with link_to(box, True) as link:
        yield link


@pytest.fixture
def known(box, operator):
    """The signer knows the sandbox's zones, as after the admin process's pass."""
    zones = [box.admin.get(f"zones/{item['name']}") for item in box.listing("zones")]
    reply, _ = operator.change_rights(*[change("zone-added", zone["id"], zone["name"], zone["customer"]) for zone in zones],
                                      change("zones-known"))
    assert reply.code == OK, reply.message


@pytest.fixture
def zone(known, operator):
    """A zone of customer c1, that Redis has never heard of: id and name."""
    identity = secrets.token_hex(16)
    name = f"s{identity[:8]}.test"
    reply, _ = operator.change_rights(change("zone-added", identity, name, "c1"))
    assert reply.code == OK, reply.message
    return identity, name


SPKI = make_key("p256").public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def sign(worker, names, zones, customer="c1", **others):
    reply = worker.ask(SIGN, sign_request(SPKI, names, zones, customer, **others))
    return reply.code, reply.message


def test_names_in_ones_own_zone_are_signed(worker, zone):
    identity, name = zone
    for names in ([name], [f"www.{name}"], [f"*.{name}", name], [f"a.b.c.{name}"]):
        assert sign(worker, names, [identity])[0] == OK


def test_a_name_outside_its_zones_is_refused(worker, zone):
    identity, name = zone
    for names in (["bank.test"], [f"x{name}"], [name, "bank.test"], ["*.bank.test"]):
        code, message = sign(worker, names, [identity])
        assert code == REFUSED and "on none of the request's zones" in message


def test_another_customers_zone_is_refused(worker, zone):
    identity, name = zone
    code, message = sign(worker, [name], [identity], customer="c2")
    assert code == REFUSED and "another customer's" in message


def test_a_zone_of_ones_own_does_not_open_another_customers(worker, operator, zone):
    identity, name = zone
    other = secrets.token_hex(16)
    operator.change_rights(change("zone-added", other, f"other-{name}", "c2"))
    code, _ = sign(worker, [name, f"other-{name}"], [identity, other])
    assert code == REFUSED


def test_leaving_the_customer_out_does_not_help(worker, zone):
    identity, name = zone
    for method in ("dns-01", "dns-delegation"):
        code, message = sign(worker, [name], [identity], customer="", method=method, account="a1")
        assert code == REFUSED and "without customer" in message


def test_an_unknown_zone_is_for_later(worker, known):
    code, message = sign(worker, ["bank.test"], [secrets.token_hex(16)])
    assert code == UNAVAILABLE and "does not know zone" in message


def test_a_zone_that_has_ended_is_refused_for_good(worker, operator, zone):
    identity, name = zone
    assert operator.change_rights(change("zone-ended", identity))[0].code == OK
    code, message = sign(worker, [name], [identity])
    assert code == REFUSED and "was deleted" in message
    for kind in ("zone-added", "zone-resumed", "zone-paused", "zone-ended"):
        given = (name, "c1") if kind == "zone-added" else ("", "")
        reply, results = operator.change_rights(change(kind, identity, *given))
        assert reply.code == OK and results[0][0] == 0  # nothing is written of it any more
    assert sign(worker, [name], [identity])[0] == REFUSED


def test_a_paused_zone_waits(worker, operator, zone):
    identity, name = zone
    operator.change_rights(change("zone-paused", identity))
    code, message = sign(worker, [name], [identity])
    assert code == STOPPED and "paused" in message
    operator.change_rights(change("zone-resumed", identity))
    assert sign(worker, [name], [identity])[0] == OK


def test_a_suspended_customer_waits(worker, operator, zone):
    identity, name = zone
    operator.change_rights(change("customer-suspended", "c1"))
    code, message = sign(worker, [name], [identity])
    assert code == STOPPED and "stopped for this customer" in message
    operator.change_rights(change("customer-resumed", "c1"))
    assert sign(worker, [name], [identity])[0] == OK


def test_a_zone_keeps_its_name_and_customer(operator, zone):
    identity, name = zone
    for other in ((f"x{name}", "c1"), (name, "c2")):
        reply, _ = operator.change_rights(change("zone-added", identity, *other))
        assert reply.code == CONFLICT, reply.message
    reply, results = operator.change_rights(change("zone-added", identity, name, "c1"))
    assert reply.code == OK and results[0][0] == 0


def test_all_of_a_call_or_nothing(operator, zone):
    identity, name = zone
    new = secrets.token_hex(16)
    reply, _ = operator.change_rights(change("zone-added", new, f"n{name}", "c1"), change("zone-added", identity, f"x{name}", "c1"))
    assert reply.code == CONFLICT
    assert operator.change_rights(change("zone-added", new, f"m{name}", "c1"))[1][0][0] != 0  # was not there


def test_another_hosts_words_count_by_their_moment(worker, operator, zone):
    identity, name = zone
    now = int(time.time() * 1000)

    def tell(kind, at_ms):
        reply, results = operator.change_rights(change(kind, identity, at_ms=at_ms))
        assert reply.code == OK, reply.message
        return results[0][0] != 0

    assert tell("zone-paused", now + 5000)
    assert not tell("zone-resumed", now + 4000)  # came late
    assert not tell("zone-paused", now + 5000)  # once more
    assert not tell("zone-resumed", now + 5000)  # of two in one millisecond the one that takes away
    assert sign(worker, [name], [identity])[0] == STOPPED
    reply, results = operator.change_rights(change("zone-resumed", identity))  # an operator of this host, now
    sequence, at_ms, _ = results[0]
    assert sequence != 0 and at_ms == now + 5001  # behind what another clock said
    assert sign(worker, [name], [identity])[0] == OK
    assert tell("zone-ended", now - 100000)  # final, however old
    assert sign(worker, [name], [identity])[0] == REFUSED


def test_an_account_that_was_deactivated_gets_nothing_whatever_a_worker_says(box, worker, zone):
    """A worker may end an account, and cannot undo it; the end is recorded once."""
    identity, name = zone
    account = f"acc-{secrets.token_hex(4)}"
    assert sign(worker, [name], [identity], account=account)[0] == OK
    for is_new in (True, False):
        reply, [(sequence, at_ms, _)] = worker.change_rights(change("account-deactivated", account, by=f"account:{account}"))
        assert reply.code == OK and (sequence > 0) == is_new and at_ms > 0
    code, message = sign(worker, [name], [identity], account=account)
    assert code == REFUSED and "was deactivated" in message
    assert sign(worker, [name], [identity], account=f"{account}x")[0] == OK
    before = box.signer()
    box.kill(before)
    assert wait_until(lambda: box.signer() not in (None, before), 20)
    box.wait_ready()
    with link_to(box, False) as another:
        assert sign(another, [name], [identity], account=account)[0] == REFUSED


@pytest.mark.parametrize("how", ["kill", "whole"])
def test_a_new_signer_knows_the_same(box, operator, zone, how):
    """From the checkpoint and what follows it, and from the whole ledger."""
    identity, name = zone
    paused, ended = secrets.token_hex(16), secrets.token_hex(16)
    operator.change_rights(*[change("zone-added", each, f"{each[:6]}.test", "c1") for each in (paused, ended)])
    operator.change_rights(change("zone-paused", paused), change("zone-ended", ended))
    operator.change_rights(*[change("api-key-ended", secrets.token_hex(4)) for _ in range(150)])  # past a checkpoint
    checkpoint = box.directory / "ledger" / "checkpoint"
    assert wait_until(checkpoint.exists, 10)
    time.sleep(0.3)
    operator.change_rights(change("zone-paused", identity))
    before = box.signer()
    if how == "whole":
        checkpoint.write_bytes(b"damaged")
    box.kill(before)
    assert wait_until(lambda: box.signer() not in (None, before), 20)
    box.wait_ready()
    with link_to(box, False) as worker, link_to(box, True) as operator:
        for each, code in ((identity, STOPPED), (paused, STOPPED), (ended, REFUSED), (secrets.token_hex(16), UNAVAILABLE)):
            assert sign(worker, [name if each == identity else f"{each[:6]}.test"], [each])[0] == code
        operator.change_rights(change("zone-resumed", identity))
        assert sign(worker, [name], [identity])[0] == OK


def test_clients_are_served_as_before(box, known):
    with contextlib.closing(box.client()) as client:
        client.issue([box.name()])
    signer = box.admin.get("stats")["signer"]
    assert signer["knows_zones"] is True and signer["zones"] >= 3


def test_the_tools_show_verify_and_replay_what_was_written(box, operator, zone):
    identity, name = zone
    operator.change_rights(change("zone-paused", identity, detail="asked by phone", by="admin:uid=7"))
    shown = box.server_tool("ledger", "show", "--type", "zone-paused").stdout.splitlines()[-1]
    assert f"zone paused: {identity}  (asked by phone)  by admin:uid=7" in shown
    added = [line for line in box.server_tool("ledger", "show", "--type", "zone-added").stdout.splitlines() if identity in line]
    assert len(added) == 1 and f"zone added: {identity}, {name} of customer c1  by admin:test" in added[0]
    verdict = json.loads(box.server_tool("ledger", "verify", "--json").stdout)
    with link_to(box, True) as link:
        reply = link.ask(STATUS)
    assert reply.code == OK and verdict["rights"] > 0 and verdict["zones"] > 0
    replayed = [json.loads(line) for line in box.server_tool("ledger", "replay").stdout.splitlines()]
    assert {"zone-added", "zone-paused"} <= {record["type"] for record in replayed}


NONSENSE = {
    "added twice": {"type": "zone-added", "name": "x.test", "customer": "c1"},
    "after its end": {"type": "zone-paused"},
    "without its moment": {"type": "zone-paused", "at_ms": None},
    "without who": {"type": "zone-paused", "by": ""},
}


@pytest.mark.parametrize("kind", NONSENSE)
def test_verify_finds_records_that_make_no_sense(box, operator, zone, tmp_path, kind):
    identity, _ = zone
    if kind == "after its end":
        operator.change_rights(change("zone-ended", identity))
    copy = tmp_path / "ledger"
    shutil.copytree(box.directory / "ledger", copy)
    box.server_tool("ledger", "verify", "--directory", copy)
    append_record(copy, **{"zone": identity, "at_ms": int(time.time() * 1000) + 10, "by": "admin:0"} | NONSENSE[kind])
    result = box.server_tool("ledger", "verify", "--directory", copy, check=False)
    expected = {"added twice": "is added twice", "after its end": "has ended before"}.get(kind, "lacks one of its members")
    assert result.returncode == 1 and expected in result.stderr


def test_many_zones_are_added_quickly_by_calls_of_many(operator, known):
    """Of one sync each: 20,000 in 20 calls."""
    for _ in range(20):
        ids = [secrets.token_hex(16) for _ in range(1000)]
        reply, results = operator.change_rights(*[change("zone-added", each, f"{each}.test", "c9") for each in ids])
        assert reply.code == OK and len({sequence for sequence, _, _ in results}) == 1000
