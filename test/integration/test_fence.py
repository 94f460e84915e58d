"""The fence between Redis, the ledger and the token: whatever one of them has lost, nothing is issued until the others
have given it back or an operator has accepted the loss; readyz says what is wrong, and the documented way out works.

"Held" is a Redis that lets everybody read and nobody write (it waits for replicas that do not exist), so that the
server stays in the middle of its recovery for as long as a test looks at it."""

import contextlib
import datetime
import hashlib
import hmac
import json
import os
import re
import shutil
import signal
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from acme_raw import AccountKey, make_csr, make_key
from under_test import run, start_time, wait_end, wait_until
from verify import der_of, load_chain

SANDBOX_OPTIONS = ("--set", "server.retire_idle_seconds=0", "--set", "server.outage_wait_ms=500",
                   "--set", "signer.signer_timeout_ms=2000")
HELD = ("--min-replicas-to-write", "1")
RECOVERY = 60  # seconds; the signer and the connections to Redis come back with back-off


@pytest.fixture
def box(own_sandbox):
    """The module's sandbox, well before the test and after it."""
    wait_well(own_sandbox)
    yield own_sandbox
    wait_well(own_sandbox)
    own_sandbox.client().issue([own_sandbox.name()])


# Redis


def redis(box, *words):
    return run(["redis-cli", "-s", box["REDIS_SOCKET"], *words]).stdout.strip()


def start_redis(box, *options):
    """With settings that redis.conf does not hold; returns when it answers."""
    box.processes.start("redis", ["redis-server", str(box.directory / "redis.conf"), *options])

    def answers():
        result = run(["redis-cli", "-s", box["REDIS_SOCKET"], "PING"], check=False)
        return "PONG" in result.stdout or "NOAUTH" in result.stdout

    assert wait_until(answers, 20)


def release(box):
    redis(box, "CONFIG", "SET", "min-replicas-to-write", "0")


def drop_connections(box):
    redis(box, "CLIENT", "KILL", "TYPE", "normal")


def replace_data(box, copy, *options):
    """Redis starts again with the data of a copy, or with none."""
    box.kill_redis()
    shutil.rmtree(box.directory / "redis")
    if copy is None:
        (box.directory / "redis").mkdir(mode=0o700)
    else:
        shutil.copytree(copy, box.directory / "redis")
    start_redis(box, *options)


@pytest.fixture
def backup(box, tmp_path):
    """A copy of Redis's data as it is now; it is put back in the end."""
    copy = tmp_path / "redis-copy"
    shutil.copytree(box.directory / "redis", copy)
    yield copy
    replace_data(box, copy)


@contextlib.contextmanager
def configured(box, section, line):
    """The server runs with one more setting meanwhile."""
    path = Path(box["CONFIG"])
    good = path.read_text()
    path.write_text(good.replace(f"{section} {{\n", f"{section} {{\n    {line}\n", 1))
    try:
        hup(box)
        yield
    finally:
        path.write_text(good)
        hup(box)


def hup(box):
    """Returns when the former workers have ended: they would go on saying what they saw."""
    before, former = box.log_text().count("reload complete"), set(box.workers())
    os.kill(box.supervisor, signal.SIGHUP)
    assert wait_until(lambda: box.log_text().count("reload complete") > before, RECOVERY), box.log_text()[-3000:]
    assert wait_until(lambda: not former & set(box.workers()), RECOVERY)


# What the server says


def readiness(box):
    """The document of readyz; {} while nobody answers."""
    _, text = box.admin.readiness()
    with contextlib.suppress(ValueError):
        return json.loads(text)
    return {}


def serving(box):
    """{worker: does it serve?} by the last word of each in the log; readyz is answered by any of them."""
    words = re.findall(r'(worker-\d+) event=(serving|"not serving")', box.log_text())
    return {worker: word == "serving" for worker, word in words}


def wait_well(box):
    """Ready, and so says every worker."""
    box.wait_ready(RECOVERY)
    assert wait_until(lambda: all(serving(box).values()), RECOVERY), serving(box)


def wait_not_ready(box, part, *words, seconds=RECOVERY):
    """Until readyz says that `part` is not well, for a reason that holds the words, and no worker serves where Redis
    or the ledger is to blame; the reason."""
    seen = []

    def says_why():
        document = readiness(box)
        seen.append(document)
        reason = document.get(part, {}).get("reason", "")
        is_said = document.get("ready") is False and reason and all(word in reason for word in words)
        return reason if is_said and (part == "signer" or not any(serving(box).values())) else None

    reason = wait_until(says_why, seconds)
    assert reason, (seen[-1], serving(box))
    return reason


class Customer:
    """A customer with a certificate, and an order that needs nothing but its finalize."""

    def __init__(self, box):
        self.box, self.client = box, box.client()
        self.name = box.name()
        created = self.client.new_order([self.name]).expect(201)
        self.url, self.order = created.headers["Location"], created.json
        self.csr = make_csr(make_key("p256"), [self.name])

    def issue(self):
        """(serial, PEM chain, leaf)"""
        _, chain, _ = self.client.issue([self.box.name()])
        leaf = load_chain(chain)[0]
        return leaf.serial_number, chain, leaf

    def finalize(self):
        return self.client.finalize(self.order, self.csr)

    def check_refused(self):
        """Neither the order that is ready nor a new one gets anything, and the client is told to come again."""
        self.client.close()
        for reply in (self.finalize(), self.client.new_order([self.box.name()])):
            assert reply.status == 503 and reply.problem == "serverInternal", reply.text
            assert reply.headers["Retry-After"].isdigit()
            assert len(reply.json["detail"]) > 20, reply.text
        return reply.json["detail"]

    def check_not_issued(self):
        """Without a signer no worker knows what became of an attempt: 503, or an order that stays in processing."""
        reply = self.finalize()
        if reply.status == 200:
            assert reply.json["status"] == "processing" and "certificate" not in reply.json, reply.text
        else:
            assert reply.status in (403, 503) and reply.problem in ("orderNotReady", "serverInternal"), reply.text
            assert reply.status != 503 or reply.headers["Retry-After"].isdigit()
        return reply

    def check_served(self):
        """The order is still there and gives one certificate. An attempt that was left in doubt ends either way: given
        up, or carried out by the signer that came back."""
        wait_well(self.box)
        self.client.close()
        seen = []

        def is_decided():
            seen.append(self.client.post(self.url).expect(200).json["status"])
            return seen[-1] in ("ready", "valid")

        assert wait_until(is_decided, RECOVERY, pause=0.3), seen[-1]
        if seen[-1] == "ready":
            assert self.finalize().expect(200).json["status"] == "valid"
        issued = [each for each in self.box.ledger("issued") if each["names"] == [self.name]]
        assert len(issued) == 1, issued
        self.box.server_tool("ledger", "verify")


@pytest.fixture
def customer(box):
    return Customer(box)


def status_of(box, serial):
    return box.admin.get(f"certificates/{serial}")["status"]


def watermark(box):
    return int(redis(box, "HGET", "ledger:sandbox", "applied") or 0)


def last_record(box):
    return json.loads(box.server_tool("ledger", "verify", "--json").stdout)["last_sequence"]


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
    assert watermark(box) == last_record(box)


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
    assert watermark(box) == last_record(box)
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


def flush(box):
    """Empties Redis under the server's feet, and holds it, at one moment."""
    commands = "MULTI\nFLUSHALL\nCONFIG SET min-replicas-to-write 1\nEXEC\n"
    run(["sh", "-c", f"printf '{commands}' | redis-cli -e -s {box['REDIS_SOCKET']}"])


def accept_empty(box):
    assert json.loads(box.admin_command("--json", "ledger", "accept-empty").stdout)["last_sequence"] == last_record(box)


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
    assert watermark(box) == last_record(box)


# The ledger has lost something


@pytest.fixture
def ledger_copy(box, tmp_path):
    """The ledger as it is now, kept elsewhere."""
    copy = tmp_path / "ledger-copy"
    shutil.copytree(box.directory / "ledger", copy)
    return copy


def restart_signer(box):
    signer = box.signer()
    if signer is not None:
        box.kill(signer)


def move(source, target):
    assert not target.exists()
    shutil.move(source, target)


def confirm_loss(box):
    return box.admin_command("--json", "ledger", "confirm-loss", check=False)


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
        # Issuing can be stopped whatever else is broken.
        assert json.loads(box.admin_command("--json", "signing", "stop").stdout)["allowed"] is False
        box.admin_command("signing", "allow")
    finally:
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


# What the ledger says and what Redis has applied must be the same records


def cut_last_records(box, count):
    """The ledger as a restored copy of an earlier moment; the records that are lost."""
    path = sorted((box.directory / "ledger").glob("ledger-*"))[-1]
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-count]))
    return [json.loads(line[65:]) for line in lines[-count:]]


@contextlib.contextmanager
def stopped_signer(box):
    """The ledger can be changed while nobody writes it; a new signer meets it."""
    signer = box.signer()
    os.kill(signer, signal.SIGSTOP)
    yield
    box.kill(signer)


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


def make_ledger(ledger):
    program = Path(os.environ["ORIGINCA_BUILD"]) / "bench" / "make-ledger"
    run([program, ledger, "sandbox", "1"])


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


def test_a_redis_without_the_hash_of_its_last_record_takes_it_once(box, customer):
    """As an earlier version left it."""
    customer.issue()
    assert re.fullmatch("[0-9a-f]{64}", redis(box, "HGET", "ledger:sandbox", "hash"))
    redis(box, "HDEL", "ledger:sandbox", "hash")
    redis(box, "DEL", "format")
    assert wait_until(lambda: redis(box, "HGET", "ledger:sandbox", "hash"), RECOVERY)
    assert redis(box, "GET", "format") == "1"
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
        make_ledger(longer)
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
