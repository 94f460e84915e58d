"""The fence between Redis, the ledger and the token: whatever Redis has lost, nothing is issued until the ledger has
given it back or an operator has accepted the loss, and a Redis that may forget is not used; readyz says what is wrong,
and the documented way out works. test_fence_ledger.py tries the other two."""

import contextlib
import datetime
import hashlib
import json
import os
import re
import signal
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from acme_raw import AccountKey, make_csr, make_key
from fence_kit import box, backup, customer  # noqa: F401: fixtures
from fence_kit import (HELD, RECOVERY, SANDBOX_OPTIONS, accept_empty, configured, drop_connections, flush,
                       last_record, redis, release, replace_data, restart_signer, start_redis, status_of,
                       wait_not_ready, wait_well, watermark)
from under_test import run, start_time, wait_end, wait_until
from verify import der_of, load_chain


# Redis has lost something


@pytest.fixture
def later(box, customer, backup):
    """What happened after the copy was made: a certificate issued, another one revoked."""
    customer.revoked, _, leaf = customer.issue()
    customer.client.revoke(der_of(leaf), 4).expect(200)
    customer.issued, customer.chain, _ = customer.issue()
    return customer


def test_a_redis_restored_from_an_older_copy_issues_nothing_before_it_is_brought_up_to_date(box, later, backup):
    copied = watermark(box)
    replace_data(box, backup, *HELD)
    wait_not_ready(box, "ledger", "replay", "NOREPLICAS")
    assert watermark(box) < copied
    later.check_refused()
    assert box.admin.fetch("GET", "/healthz")[0] == 200
    release(box)
    later.check_served()
    assert status_of(box, later.revoked) == "revoked"
    assert status_of(box, later.issued) == "valid"
    assert load_chain(box.admin.get(f"certificates/{later.issued}")["pem"]) == load_chain(later.chain)[:1]
    assert wait_until(lambda: watermark(box) == last_record(box), RECOVERY)  # lists may just have been made


def test_ledger_replay_prints_what_an_older_copy_lacks(box, later, backup):
    box.wait_ready()
    everything = box.server_tool("ledger", "replay").stdout.splitlines()
    replace_data(box, backup, *HELD)
    applied = watermark(box)
    release(box)
    lacking = [json.loads(line) for line in
               box.server_tool("ledger", "replay", "--from", str(applied + 1)).stdout.splitlines()]
    assert len(lacking) < len(everything)
    assert all(record["seq"] > applied for record in lacking)
    found = {(record["type"], int(record["serial"], 16)) for record in lacking}
    assert {("revoked", later.revoked), ("issued", later.issued)} <= found


def test_an_empty_redis_serves_nothing_before_an_operator_has_accepted_it(box, later, backup):
    replace_data(box, None)
    reason = wait_not_ready(box, "ledger", "Redis is empty", "restore a backup", f"{last_record(box)} records")
    assert "originca admin ledger accept-empty" in reason
    later.check_refused()
    assert box.admin_command("health", check=False).returncode == 1
    assert watermark(box) == 0
    accept_empty(box)
    wait_well(box)
    assert wait_until(lambda: watermark(box) == last_record(box), RECOVERY)  # lists may just have been made
    assert status_of(box, later.revoked) == "revoked"
    assert status_of(box, later.issued) == "valid"
    # Customers are not in the ledger: what nobody owns is given to nobody.
    assert box.listing("customers") == [] and box.listing("zones") == []
    reply = later.finalize()
    assert reply.problem == "accountDoesNotExist", reply.text
    assert later.client.register(box["EAB_KID"], box["EAB_HMAC"]).status >= 400
    # The documented way: Redis's own backup first, then the ledger gives what that lacks.
    replace_data(box, backup)
    later.check_served()
    assert status_of(box, later.revoked) == "revoked"
    assert status_of(box, later.issued) == "valid"


def test_a_redis_that_is_not_empty_is_not_accepted_as_empty(box, customer):
    refused = box.admin_command("ledger", "accept-empty", check=False)
    assert refused.returncode == 1 and "not empty" in refused.stderr, refused.stderr


def test_a_flushed_redis_gets_certificates_and_revocations_back_from_the_ledger(box, later, backup):
    flush(box)
    later.client.close()
    reply = later.client.new_order([box.name()])
    assert reply.status == 503, reply.text  # at once: no account is unknown because Redis was emptied
    release(box)
    wait_not_ready(box, "ledger", "Redis is empty")
    accept_empty(box)
    assert wait_until(lambda: watermark(box) == last_record(box), RECOVERY)
    assert status_of(box, later.revoked) == "revoked"
    assert status_of(box, later.issued) == "valid"


def test_a_replay_blocks_compromised_keys_for_those_whose_word_it_was(box, customer, backup):
    """Without proof for the customer, with proof for everybody; the proof of a certificate that was revoked without is
    known as new to a signer that was restarted."""
    keys = []
    for _ in range(2):
        key, chain, _ = customer.client.issue([box.name()])
        leaf = load_chain(chain)[0]
        customer.client.revoke(der_of(leaf), 1).expect(200)
        public = key.public_key().public_bytes(serialization.Encoding.DER,
                                               serialization.PublicFormat.SubjectPublicKeyInfo)
        keys.append((key, leaf, hashlib.sha256(public).hexdigest()))
    restart_signer(box)
    wait_well(box)
    key, leaf, _ = keys[1]
    customer.client.revoke(der_of(leaf), 1, AccountKey("ES256", key)).expect(200)
    owner = box.admin.get(f"customers/{box['CUSTOMER']}")["id"]
    flush(box)
    release(box)
    wait_not_ready(box, "ledger", "Redis is empty")
    accept_empty(box)
    assert wait_until(lambda: watermark(box) == last_record(box), RECOVERY)
    blocked = [(redis(box, "SISMEMBER", f"blocked-keys:{owner}", spki), redis(box, "SISMEMBER", "blocked-keys", spki))
               for _, _, spki in keys]
    assert blocked == [("1", "0"), ("1", "1")]


def test_a_server_whose_redis_is_flushed_says_that_it_is_not_ready(box, later, backup):
    flush(box)
    wait_not_ready(box, "ledger", "ledger", seconds=20)
    later.check_refused()
    release(box)
    accept_empty(box)
    wait_well(box)
    assert status_of(box, later.revoked) == "revoked"


def test_a_redis_whose_data_goes_back_in_time_while_connected_is_not_served_from(box, later):
    """As an import of old data does it: the connection stays, the watermark moves back."""
    commands = "MULTI\nHSET ledger:sandbox applied 0\nCONFIG SET min-replicas-to-write 1\nEXEC\n"
    run(["sh", "-c", f"printf '{commands}' | redis-cli -e -s {box['REDIS_SOCKET']}"])
    wait_not_ready(box, "ledger", "compare their ledgers anew", "NOREPLICAS", seconds=20)
    later.check_refused()
    release(box)
    wait_well(box)
    assert wait_until(lambda: watermark(box) == last_record(box), RECOVERY)  # lists may just have been made


# Redis cannot be used


def test_redis_away_is_503_for_clients_and_admins_until_it_is_back(box, customer):
    box.kill_redis()
    try:
        wait_not_ready(box, "redis")
        customer.check_refused()
        status, headers, text = box.admin.fetch("GET", "/admin/v1/zones")
        assert status == 503 and headers["Retry-After"].isdigit() and b"Redis" in text, text
        refused = box.admin_command("zone", "list", check=False)
        assert refused.returncode != 0 and "Redis" in refused.stderr and refused.stdout == ""
        assert box.admin.fetch("GET", "/healthz")[0] == 200
        assert box.admin.fetch("GET", "/metrics")[0] == 200
        # Issuing can be stopped whatever else is broken, and whoever does it is told where it holds.
        stopped = box.admin_command("--json", "signing", "stop", check=False)
        assert stopped.returncode == 1 and "other hosts" in stopped.stderr, stopped
    finally:
        box.admin_command("signing", "allow", check=False)
        start_redis(box)
    customer.check_served()


@pytest.mark.parametrize("setting, weak, good", [
    ("appendonly", "no", "yes"),
    ("appendfsync", "everysec", "always"),
    ("maxmemory-policy", "allkeys-lru", "noeviction"),
])
def test_a_redis_that_may_forget_is_refused_with_the_setting_to_change(box, customer, setting, weak, good):
    redis(box, "CONFIG", "SET", setting, weak)
    drop_connections(box)
    try:
        wait_not_ready(box, "redis", f"set `{setting} {good}`")
        customer.check_refused()
    finally:
        redis(box, "CONFIG", "SET", setting, good)
    customer.check_served()


def test_a_redis_that_may_forget_is_served_from_where_the_operator_allows_it_and_the_log_warns(box, customer):
    offset = len(box.log_text())
    with configured(box, "redis", "redis_allow_unsafe_durability = true"):
        redis(box, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        drop_connections(box)
        try:
            assert wait_until(lambda: "allkeys-lru" in box.log_text()[offset:], RECOVERY)
            customer.check_served()
        finally:
            redis(box, "CONFIG", "SET", "maxmemory-policy", "noeviction")
    warnings = [line for line in box.log_text()[offset:].splitlines() if "allkeys-lru" in line]
    assert warnings and all(" warning " in line for line in warnings), warnings


def test_a_server_that_starts_with_a_weak_redis_serves_nothing_until_it_is_set_right(box, customer):
    pid = box.supervisor
    started = start_time(pid)
    os.kill(pid, signal.SIGTERM)
    assert wait_end(pid, started, 30)
    redis(box, "CONFIG", "SET", "appendonly", "no")
    program = Path(os.environ["ORIGINCA_BUILD"]) / "server" / "originca-server"
    box.processes.start("server", [str(program), "-c", box["CONFIG"]], {"SOFTHSM2_CONF": box["SOFTHSM2_CONF"]})
    try:
        wait_not_ready(box, "redis", "set `appendonly yes`")
        customer.check_refused()
    finally:
        redis(box, "CONFIG", "SET", "appendonly", "yes")
    customer.check_served()


def test_a_replica_is_refused(box, customer):
    """What a fail-over leaves behind: the connection goes on to a server that takes no writes."""
    redis(box, "REPLICAOF", "127.0.0.1", "1")
    drop_connections(box)
    try:
        wait_not_ready(box, "redis", "replica", "primary")
        customer.check_refused()
    finally:
        redis(box, "REPLICAOF", "NO", "ONE")
    customer.check_served()


def test_a_wrong_password_is_said_and_a_right_one_is_taken_without_a_restart(box, customer, tmp_path):
    password_file = tmp_path / "redis-password"
    password_file.write_text("wrong-Pa55\n")
    password_file.chmod(0o600)

    def with_password(*words):
        run(["redis-cli", "-s", box["REDIS_SOCKET"], "-a", "right-Pa55", "--no-auth-warning", *words])

    redis(box, "CONFIG", "SET", "requirepass", "right-Pa55")
    with contextlib.ExitStack() as stack:
        # Before the former settings come back: a reload that loses Redis by its own settings is refused.
        stack.callback(with_password, "CONFIG", "SET", "requirepass", "")
        with_password("CLIENT", "KILL", "TYPE", "normal")
        wait_not_ready(box, "redis", "NOAUTH")
        customer.check_refused()
        with configured(box, "redis", f'redis_password_file = "{password_file}"'):
            wait_not_ready(box, "redis", "WRONGPASS")
            customer.check_refused()
            password_file.write_text("right-Pa55\n")
            customer.check_served()
            stack.close()
    drop_connections(box)
    assert "Pa55" not in box.log_text()


# The settings


def test_an_order_of_the_future_is_not_finalized_when_the_bound_was_lowered_meanwhile(box, customer):
    name = box.name()
    start = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=20)).strftime("%FT%TZ")
    order = customer.client.new_order([name], notBefore=start).expect(201).json
    csr = make_csr(make_key("p256"), [name])
    with configured(box, "acme", "not_before_max_ahead_hours = 2"):
        customer.client.close()
        reply = customer.client.finalize(order, csr)
        assert reply.problem == "orderNotReady" and "2 hours ahead" in reply.json["detail"], reply.text
        reply = customer.client.new_order([name], notBefore=start)
        assert reply.problem == "malformed" and "2 hours ahead" in reply.json["detail"], reply.text
    customer.client.close()
    assert customer.client.finalize(order, csr).expect(200).json["status"] == "valid"


# What Redis says of itself


def test_a_redis_without_the_hash_of_its_last_record_takes_it_once(box, customer):
    """As an earlier version left it."""
    customer.issue()
    assert re.fullmatch("[0-9a-f]{64}", redis(box, "HGET", "ledger:sandbox", "hash"))

    def takes_both():
        redis(box, "HDEL", "ledger:sandbox", "hash")
        redis(box, "DEL", "format")
        assert wait_until(lambda: redis(box, "HGET", "ledger:sandbox", "hash"), RECOVERY)
        return redis(box, "GET", "format") == "1"

    assert wait_until(takes_both, RECOVERY)  # the next record that is applied brings a hash too, and no format
    redis(box, "HSET", "ledger:sandbox", "hash", "0" * 64)
    wait_not_ready(box, "ledger", "another ledger record")
    redis(box, "HDEL", "ledger:sandbox", "hash")
    customer.check_served()


def test_a_redis_of_a_newer_format_is_not_served(box, customer):
    redis(box, "SET", "format", "2")
    try:
        wait_not_ready(box, "ledger", "format 2", "newer")
        customer.check_refused()
    finally:
        redis(box, "SET", "format", "1")
    customer.check_served()
