"""The fence between Redis, the ledger and the token: whatever the ledger or the token has lost, nothing is issued until
it is back or an operator has accepted the loss; readyz says what is wrong, and the documented way out works.
test_fence_redis.py tries Redis."""

import hmac
import json
import os
import re
import shutil

import pytest

from acme_raw import AccountKey
from fence_kit import box, backup, customer, ledger_copy  # noqa: F401: fixtures
from fence_kit import (RECOVERY, SANDBOX_OPTIONS, accept_empty, confirm_loss, cut_last_records, flush, last_record,
                       make_ledger, move, readiness, redis, release, replace_data, restart_signer, start_redis,
                       status_of, stopped_signer, wait_not_ready, wait_well, watermark)
from under_test import wait_until
from verify import der_of, load_chain


# The ledger has lost something


def test_a_lost_ledger_stops_issuing_until_it_is_put_back(box, customer, tmp_path):
    ledger = box.directory / "ledger"
    move(ledger, tmp_path / "away")
    restart_signer(box)
    try:
        wait_not_ready(box, "signer")
        assert wait_until(lambda: f"cannot lock the ledger directory {ledger}" in box.log_text(), RECOVERY)
        customer.check_not_issued()
        refused = confirm_loss(box)
        assert refused.returncode == 1 and "signer" in refused.stderr, refused.stderr
    finally:
        shutil.rmtree(ledger, ignore_errors=True)
        move(tmp_path / "away", ledger)
    customer.check_served()


def test_a_ledger_that_is_gone_for_good_needs_a_new_one_and_the_operators_word(box, customer):
    revoked, _, leaf = customer.issue()
    customer.client.revoke(der_of(leaf), 1).expect(200)
    known = watermark(box)
    shutil.rmtree(box.directory / "ledger")
    (box.directory / "ledger").mkdir(mode=0o700)
    restart_signer(box)
    wait_not_ready(box, "signer")
    box.server_tool("ca", "init")
    reason = wait_not_ready(box, "ledger", "another ledger")
    assert "originca admin ledger confirm-loss" in reason
    assert "ledger" not in customer.check_refused()
    confirmed = confirm_loss(box)
    assert confirmed.returncode == 0, confirmed.stderr
    assert json.loads(confirmed.stdout)["last_sequence"] > known
    customer.check_served()
    assert [record["redis_seq"] for record in box.ledger("loss-confirmed")] == [known]
    assert status_of(box, revoked) == "revoked"
    again = confirm_loss(box)
    assert again.returncode == 1 and "nothing is lost" in again.stderr


def test_a_ledger_older_than_redis_needs_the_operators_word(box, customer, ledger_copy):
    lost, _, _ = customer.issue()
    known = watermark(box)
    shutil.rmtree(box.directory / "ledger")
    shutil.copytree(ledger_copy, box.directory / "ledger")
    restart_signer(box)
    reason = wait_not_ready(box, "ledger", "records are lost", str(known), str(last_record(box)))
    assert "originca admin ledger confirm-loss" in reason
    customer.check_refused()
    assert confirm_loss(box).returncode == 0
    customer.check_served()
    assert status_of(box, lost) == "valid"
    numbers = [record["seq"] for record in box.ledger("loss-confirmed")]
    assert numbers[-1] == known + 1, numbers


def test_a_restored_ledger_needs_no_word(box, customer, ledger_copy, tmp_path):
    customer.issue()
    whole = tmp_path / "whole"
    move(box.directory / "ledger", whole)
    shutil.copytree(ledger_copy, box.directory / "ledger")
    restart_signer(box)
    wait_not_ready(box, "ledger", "records are lost")
    customer.check_refused()
    shutil.rmtree(box.directory / "ledger")
    move(whole, box.directory / "ledger")
    restart_signer(box)
    customer.check_served()


def test_nothing_is_lost_so_nothing_can_be_confirmed(box):
    before = last_record(box)
    refused = confirm_loss(box)
    assert refused.returncode == 1 and "nothing is lost" in refused.stderr
    assert last_record(box) == before


def test_a_ledger_taken_away_under_a_running_signer_stops_issuing(box, customer, tmp_path):
    ledger = box.directory / "ledger"
    move(ledger, tmp_path / "away")
    try:
        customer.check_not_issued()
    finally:
        shutil.rmtree(ledger, ignore_errors=True)
        move(tmp_path / "away", ledger)
    customer.check_served()


# The token cannot be used


def test_with_a_lost_token_the_order_is_processing_and_is_finished_when_it_is_back(box, customer, tmp_path):
    tokens = box.directory / "tokens"
    move(tokens, tmp_path / "tokens")
    try:
        reply = customer.check_not_issued()
        assert reply.status == 200 and "token" not in reply.text, reply.text
        assert wait_until(lambda: "signing is put off" in box.log_text() and "token" in box.log_text(), RECOVERY)
        wait_not_ready(box, "signer")
        customer.check_not_issued()
    finally:
        shutil.rmtree(tokens, ignore_errors=True)
        move(tmp_path / "tokens", tokens)
    customer.check_served()


def test_signing_that_was_stopped_stays_stopped_over_a_restart_of_the_signer(box, customer):
    box.admin_command("signing", "stop", "--this-host")
    try:
        signer = box.signer()
        box.kill(signer)
        assert wait_until(lambda: box.signer() not in (None, signer), RECOVERY)
        wait_not_ready(box, "signer", "stopped by an operator")
        assert customer.check_not_issued().json["status"] == "processing"
    finally:
        box.admin_command("signing", "allow", "--this-host")
    customer.check_served()


def test_a_token_that_is_away_when_the_signer_starts_is_awaited(box, customer, tmp_path):
    tokens = box.directory / "tokens"
    move(tokens, tmp_path / "tokens")
    offset = len(box.log_text())
    restart_signer(box)
    try:
        wait_not_ready(box, "signer")
        assert wait_until(lambda: "the token cannot be used" in box.log_text()[offset:], RECOVERY)
        customer.check_not_issued()
    finally:
        shutil.rmtree(tokens, ignore_errors=True)
        move(tmp_path / "tokens", tokens)
    customer.check_served()


# What the ledger says and what Redis has applied must be the same records


def test_a_ledger_that_lost_its_last_records_is_not_continued_by_the_signer(box, customer, ledger_copy):
    """An intent whose outcome is lost is not said to be void under the lost record's number."""
    serial, _, _ = customer.issue()
    known = last_record(box)
    with stopped_signer(box):
        [lost] = cut_last_records(box, 1)
    assert lost["type"] == "issued" and int(lost["serial"], 16) == serial
    reason = wait_not_ready(box, "ledger", "records are lost", str(known), str(known - 1))
    assert "confirm-loss" in reason
    path = sorted((box.directory / "ledger").glob("ledger-*"))[-1]
    assert path.read_bytes().count(b"\n") and json.loads(path.read_bytes().splitlines()[-1][65:])["seq"] == known - 1
    customer.check_refused()
    assert confirm_loss(box).returncode == 0
    customer.check_served()
    assert status_of(box, serial) == "valid"
    assert [record["seq"] for record in box.ledger("void") if record["seq"] == known] == []


def test_an_emptied_redis_is_rebuilt_over_the_numbers_of_an_accepted_loss(box, customer, ledger_copy, backup):
    for _ in range(2):
        customer.issue()
    with stopped_signer(box):
        cut_last_records(box, 2)
    wait_not_ready(box, "ledger", "records are lost")
    assert confirm_loss(box).returncode == 0
    wait_well(box)
    flush(box)
    release(box)
    wait_not_ready(box, "ledger", "Redis is empty")
    accept_empty(box)
    assert wait_until(lambda: watermark(box) == last_record(box), RECOVERY), (watermark(box), last_record(box))
    wait_well(box)
    with stopped_signer(box):
        shutil.rmtree(box.directory / "ledger")
        shutil.copytree(ledger_copy, box.directory / "ledger")
        replace_data(box, backup)


def test_records_that_stand_in_the_place_of_lost_ones_are_refused(box, customer, tmp_path):
    """A copy of the ledger that went on by itself: as long as the lost one, longer even, and another."""
    ledger = box.directory / "ledger"
    copy, whole = tmp_path / "copy", tmp_path / "whole"
    shutil.copytree(ledger, copy)
    make_ledger(copy)
    serial, _, _ = customer.issue()
    with stopped_signer(box):
        move(ledger, whole)
        move(copy, ledger)
    reason = wait_not_ready(box, "ledger", "another ledger record")
    assert "confirm-loss" in reason
    customer.check_refused()
    with stopped_signer(box):
        shutil.rmtree(ledger)
        move(whole, ledger)
    customer.check_served()
    assert status_of(box, serial) == "valid"


def test_a_ledger_that_is_cut_under_the_running_signer_stops_it_at_the_next_write(box, customer, tmp_path):
    ledger = box.directory / "ledger"
    customer.issue()
    path = sorted(ledger.glob("ledger-*"))[-1]
    whole = path.read_bytes()
    offset = len(box.log_text())
    os.truncate(path, len(whole) - 200)
    try:
        reply = customer.check_not_issued()
        assert reply.status != 200 or reply.json["status"] == "processing"
        assert wait_until(lambda: "lost its end" in box.log_text()[offset:], RECOVERY)
        wait_not_ready(box, "ledger", "records are lost")
    finally:
        with stopped_signer(box):
            path.write_bytes(whole)
    customer.check_served()


def test_a_signer_that_restarts_while_redis_is_away_signs_nothing_and_goes_on_when_it_is_back(box, customer):
    box.kill_redis()
    before = len(box.ledger("intent"))
    signer = box.signer()
    box.kill(signer)
    assert wait_until(lambda: box.signer() not in (None, signer), RECOVERY)
    said = []

    def waits_for_redis():
        said.append(readiness(box).get("signer", {}).get("reason", ""))
        return "which ledger records Redis has applied" in said[-1]  # at first it is not there at all

    assert wait_until(waits_for_redis, RECOVERY), said[-1]
    assert len(box.ledger("intent")) == before
    start_redis(box)
    customer.check_served()


def test_a_long_replay_is_the_work_of_one_worker_and_tells_how_far_it_is(box, customer, backup, tmp_path):
    ledger, kept, longer = box.directory / "ledger", tmp_path / "kept", tmp_path / "longer"
    replayed = "originca_ledger_replayed_total"
    before = box.admin.metrics().get(replayed, 0)
    with stopped_signer(box):
        shutil.copytree(ledger, longer)
        make_ledger(longer, 4)  # readyz waits for Redis, which is busy
        move(ledger, kept)
        move(longer, ledger)
    try:
        assert wait_until(lambda: re.search(r"\d+ of \d+ records are there", str(readiness(box))), RECOVERY, pause=0.02)
        wait_well(box)
        records = last_record(box)
        assert watermark(box) == records > 2000
        assert box.admin.metrics()[replayed] - before < records + 600  # once, not by every worker
    finally:
        with stopped_signer(box):
            shutil.rmtree(ledger)
            move(kept, ledger)
            replace_data(box, backup)
    customer.check_served()


# Checkpoints


def wait_log(box, text, offset):
    assert wait_until(lambda: text in box.log_text()[offset:], RECOVERY), box.log_text()[offset:][-3000:]
    return box.log_text()[offset:]


def restart_server(box):
    """A clean stop leaves a checkpoint."""
    offset = len(box.log_text())
    box.script("down", "--keep")
    box.script("up", "--port-base", box.port_base, *box.options, timeout=600)
    wait_well(box)
    return box.log_text()[offset:]


def test_a_clean_stop_leaves_a_checkpoint_from_which_the_next_start_goes_on(box, customer):
    key, chain, _ = customer.client.issue([box.name()])
    leaf = load_chain(chain)[0]
    serial = leaf.serial_number
    customer.client.revoke(der_of(leaf), 1).expect(200)
    customer.client.close()
    log = restart_server(box)
    assert 'event="the ledger is read"' in log and 'from="the checkpoint"' in log
    wait_log(box, "the whole ledger is verified", 0)
    # the revocation that only the checkpoint tells it is known: it is not written again
    count = len(box.ledger("revoked"))
    redis(box, "HSET", f"certificate:{serial:032x}", "status", "valid")
    assert box.admin.post(f"certificates/{serial}/revoke", {"reason": "superseded"})
    assert len(box.ledger("revoked")) == count
    # and what it said of the key: the proof of it is new, once
    for expected in (200, 400):
        customer.client.revoke(der_of(leaf), 1, AccountKey("ES256", key)).expect(expected)
        assert len(box.ledger("revoked")) == count + 1
    customer.check_served()


@pytest.mark.parametrize("damage", ["missing", "changed", "foreign key", "former format", "ahead"])
def test_without_a_checkpoint_that_fits_the_whole_ledger_is_read(box, customer, damage):
    restart_server(box)
    checkpoint, key = box.directory / "ledger" / "checkpoint", box.directory / "ledger" / "checkpoint.key"
    customer.client.close()
    customer.issue()
    offset = len(box.log_text())
    with stopped_signer(box):
        if damage == "missing":
            checkpoint.unlink()
        elif damage == "changed":
            whole = bytearray(checkpoint.read_bytes())
            whole[len(whole) // 2] ^= 1
            checkpoint.write_bytes(whole)
        elif damage == "foreign key":
            key.write_bytes(os.urandom(32))
        elif damage == "former format":  # after an upgrade: its own MAC is right
            magic = b"originca checkpoint\n"
            kept = checkpoint.read_bytes()[len(magic) + 4:-32]
            former = magic + (3).to_bytes(4, "big") + kept
            checkpoint.write_bytes(former + hmac.digest(key.read_bytes(), former, "sha256"))
        else:  # of a ledger that holds other bytes there
            path = sorted((box.directory / "ledger").glob("ledger-*"))[-1]
            kept = path.read_bytes()
            path.write_bytes(b"".join(kept.splitlines(keepends=True)[:2]))
    if damage == "ahead":
        wait_not_ready(box, "ledger", "records are lost")
        with stopped_signer(box):
            path.write_bytes(kept)
        wait_well(box)
        assert "does not hold record" in box.log_text()[offset:]
    log = wait_log(box, 'from="its beginning"', offset)
    assert damage == "missing" or "the checkpoint cannot be used" in log
    assert damage != "former format" or "has format 3, not" in log
    customer.check_served()


def test_damage_before_the_checkpoint_is_found_behind_the_start_and_stops_signing(box, customer):
    customer.client.close()
    restart_server(box)
    path = sorted((box.directory / "ledger").glob("ledger-*"))[0]
    kept = path.read_bytes()
    changed = bytearray(kept)
    changed[200] ^= 1
    offset = len(box.log_text())
    with stopped_signer(box):
        path.write_bytes(changed)
    try:
        reason = wait_not_ready(box, "signer", "damaged")
        assert f"{path}, line 1" in reason
        customer.check_not_issued()
        assert 'from="the checkpoint"' in box.log_text()[offset:]
    finally:
        with stopped_signer(box):
            path.write_bytes(kept)
    customer.check_served()


def test_a_wrong_value_of_the_ledger_command_is_told(box):  # noqa: F811
    for option, value, words in (("--serial", "0xzz", "0xzz is no serial: a serial is a decimal number, or hex"),
                                 ("--serial", "12a", "12a is no serial"), ("--from", "abc", "abc is no sequence number"),
                                 ("--from", "-1", "no sequence number"), ("--type", "isued", "no record has the type isued")):
        said = box.server_tool("ledger", "show", option, value, check=False)
        assert said.returncode == 2 and words in said.stderr and said.stdout == "", said.stderr
    assert "genesis" in box.server_tool("ledger", "show", "--type", "genesis", "--from", "1").stdout
    for kind in ("crl", "signing", "zone-added", "host-excused"):
        box.server_tool("ledger", "show", "--type", kind)
