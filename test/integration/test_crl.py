"""Certificate revocation lists as those who check certificates see them: by openssl, certtool and Python's cryptography, for every
profile, issuer and shard; over crashes, a Redis that went back and two hosts."""

import json
import os
import signal
import subprocess
import tempfile
import threading
import time
from datetime import datetime, timezone
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from acme_raw import make_csr, make_key
from crl_kit import fetch, load as load_from, number_of, path_of, plain_url
from rest_client import RestClient, leaf_of, make_csr as make_pem_csr, rest, service_key
from test_going_back import OldCopy, Second
from under_test import stopped, wait_until
from verify import load_chain

SANDBOX_OPTIONS = ("--set", "revocation.crl_delay_ms=1000", "--workers", "2")
SHARDS = 16
RECOVERY = 60
REASONS = {"keyCompromise": x509.ReasonFlags.key_compromise, "superseded": x509.ReasonFlags.superseded,
           "cessationOfOperation": x509.ReasonFlags.cessation_of_operation, "unspecified": None}


@pytest.fixture
def box(own_sandbox):
    own_sandbox.wait_ready(RECOVERY)
    yield own_sandbox
    own_sandbox.wait_ready(RECOVERY)


def load(box, path, base=None):
    return load_from(base or box["HTTP_URL"], path)


def wait_listed(box, leaf, reason=None, issuer="ecc", base=None, seconds=RECOVERY):
    """The entry on the certificate's list and on the complete one."""
    found = None
    for path in {path_of(leaf, issuer), f"/crl/{issuer}-all.crl"}:
        assert wait_until(lambda: fetch(base or box["HTTP_URL"], path)[0] == 200, RECOVERY), path
        assert wait_until(lambda: load(box, path, base).get_revoked_certificate_by_serial_number(leaf.serial_number),
                          seconds, pause=0.1), path
        found = load(box, path, base).get_revoked_certificate_by_serial_number(leaf.serial_number)
        if reason is not None:
            reasons = [each.value.reason for each in found.extensions]
            assert reasons == ([REASONS[reason]] if REASONS[reason] else []), path
    return found


def issuing(box, issuer):
    return x509.load_pem_x509_certificate((Path(box.directory) / f"issuer-{issuer}.pem").read_bytes())


def openssl_verdict(box, leaf, crl, issuer):
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "leaf.pem").write_bytes(leaf.public_bytes(Encoding.PEM))
        (folder / "crl.pem").write_bytes(crl.public_bytes(Encoding.PEM))
        done = subprocess.run(["openssl", "verify", "-x509_strict", "-extended_crl", "-crl_check", "-CRLfile", folder / "crl.pem",
                               "-CAfile", Path(box.directory) / f"issuer-{issuer}.pem", "-partial_chain", folder / "leaf.pem"],
                              capture_output=True, text=True, timeout=60)
    return "good" if done.returncode == 0 else "revoked" if "error 23 " in done.stderr else done.stdout + done.stderr


def create(box, request_type="origin-ecc", client=None):
    result = (client or rest(box)).create([box.name()], request_type=request_type, csr=make_pem_csr()).result
    return result["id"], leaf_of(result)


def issue_by_acme(box, client, profile, kind="p256"):
    name, key = box.name(), make_key(kind)
    order = client.new_order([name], profile=profile).expect(201).json
    done = client.finalize(order, make_csr(key, [name])).expect(200).json
    return load_chain(client.post(done["certificate"]).expect(200).text)[0]


def issuer_of(box, leaf):
    return next(name for name in ("ecc", "rsa") if issuing(box, name).subject == leaf.issuer)


def check_form(box, crl, path, issuer):
    """What is true of every list of ours, seen by others."""
    authority = issuing(box, issuer)
    assert crl.is_signature_valid(authority.public_key()) and crl.issuer == authority.subject
    point = crl.extensions.get_extension_for_class(x509.IssuingDistributionPoint)
    assert point.critical and point.value.only_contains_user_certs and not point.value.indirect_crl
    assert point.value.only_some_reasons is None
    if path.endswith("-all.crl"):
        assert point.value.full_name is None
    else:
        assert [each.value for each in point.value.full_name] == [box["HTTP_URL"] + path]
    key_id = crl.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    assert key_id == authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    assert not crl.extensions.get_extension_for_class(x509.CRLNumber).critical and number_of(crl) > 0
    assert len(list(crl.extensions)) == 3
    assert crl.last_update <= datetime.utcnow() < crl.next_update


def check_with_tools(box, crl, issuer):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "crl.pem"
        file.write_bytes(crl.public_bytes(Encoding.PEM))
        done = subprocess.run(["openssl", "crl", "-in", file, "-noout", "-CAfile", Path(box.directory) / f"issuer-{issuer}.pem",
                               "-verify"], capture_output=True, text=True, timeout=60)
        assert "verify OK" in done.stderr + done.stdout, done.stderr
        done = subprocess.run(["certtool", "--verify-crl", "--load-ca-certificate",
                               Path(box.directory) / f"issuer-{issuer}.pem", "--infile", file], capture_output=True, text=True,
                              timeout=60)
        assert done.returncode == 0 and "Verified" in done.stdout, done.stdout + done.stderr


# Every list


def paths_of(issuer):
    return [f"/crl/{issuer[0]}{shard:x}" for shard in range(SHARDS)] + [f"/crl/{issuer}-all.crl"]


def wait_published(box):
    """Until every list of both issuers is served."""
    box.wait_ready(RECOVERY)
    for path in (*paths_of("ecc"), *paths_of("rsa")):
        assert wait_until(lambda: fetch(box["HTTP_URL"], path)[0] == 200, RECOVERY), path


@pytest.mark.parametrize("issuer", ["ecc", "rsa"])
def test_every_list_is_there_before_its_first_certificate_is_revoked(box, issuer):
    for path in paths_of(issuer):
        assert wait_until(lambda: fetch(box["HTTP_URL"], path)[0] == 200, RECOVERY), path
        crl = load(box, path)
        check_form(box, crl, path, issuer)
        check_with_tools(box, crl, issuer)


@pytest.mark.parametrize("profile", ["origin", "compact", "classic"])
@pytest.mark.parametrize("kind", ["p256", "rsa2048"])
def test_tools_tell_a_revoked_certificate_of_each_profile_from_a_good_one(box, profile, kind):
    client = box.client()
    good, bad = (issue_by_acme(box, client, profile, kind) for _ in range(2))
    issuer = issuer_of(box, bad)
    assert (path_of(bad, issuer) == f"/crl/{issuer}-all.crl") is (profile == "compact")
    client.revoke(bad.public_bytes(Encoding.DER), 4).expect(200)
    entry = wait_listed(box, bad, "superseded", issuer)
    assert abs((entry.revocation_date - datetime.utcnow()).total_seconds()) < 300
    for leaf, verdict in ((good, "good"), (bad, "revoked")):
        crl = load(box, path_of(leaf, issuer))
        assert openssl_verdict(box, leaf, crl, issuer) == verdict
        check_with_tools(box, crl, issuer)
    client.close()


@pytest.mark.parametrize("issuer, request_type", [("ecc", "origin-ecc"), ("rsa", "origin-rsa")])
def test_each_shard_holds_its_own_revoked_certificates_and_no_others(box, issuer, request_type):
    api, made = rest(box), {}
    while len(made) < SHARDS:  # serials are random
        identifier, leaf = create(box, request_type)
        made.setdefault(path_of(leaf, issuer), (identifier, leaf))
    assert set(made) == set(paths_of(issuer)[:-1])
    reasons = list(REASONS)
    for at, (identifier, leaf) in enumerate(made.values()):
        assert api.revoke(identifier, {"reason": reasons[at % len(reasons)]}).status == 200
    for at, (path, (_, leaf)) in enumerate(made.items()):
        wait_listed(box, leaf, reasons[at % len(reasons)], issuer)
        crl = load(box, path)
        check_form(box, crl, path, issuer)
        assert openssl_verdict(box, leaf, crl, issuer) == "revoked"
        check_with_tools(box, crl, issuer)
        assert all(path == f"/crl/{issuer[0]}{(each.serial_number & 0xffff) % SHARDS:x}" for each in crl)
    complete = load(box, f"/crl/{issuer}-all.crl")
    check_form(box, complete, f"/crl/{issuer}-all.crl", issuer)
    check_with_tools(box, complete, issuer)
    for _, leaf in made.values():
        assert complete.get_revoked_certificate_by_serial_number(leaf.serial_number)
    serials = [each.serial_number for each in complete]
    assert len(serials) == len(set(serials))


def reload_with_signer(box):
    signer = box.signer()
    box.server_tool("reload")
    assert wait_until(lambda: box.signer() not in (None, signer), 20)
    box.wait_ready(RECOVERY)


def revoked_record(box, leaf):
    lines = [line.split(" ", 1)[1] for path in Path(box.directory, "ledger").glob("*.jsonl") for line in path.read_text().splitlines()]
    serial = f"{leaf.serial_number:032x}"
    return next(record for record in map(json.loads, lines) if record.get("type") == "revoked" and record["serial"] == serial)


@pytest.mark.parametrize("issuer, request_type", [("ecc", "origin-ecc"), ("rsa", "origin-rsa")])
def test_certificates_of_a_former_url_without_shards_keep_their_list(box, issuer, request_type):
    config = Path(box["CONFIG"])
    good = config.read_text()
    assert f"/crl/{issuer[0]}{{shard}}" in good
    try:
        config.write_text(good.replace(f"/crl/{issuer[0]}{{shard}}", f"/crl/old-{issuer}"))
        reload_with_signer(box)
        (identifier, bad), (_, fine) = create(box, request_type), create(box, request_type)
    finally:
        config.write_text(good)
        reload_with_signer(box)
    path = f"/crl/old-{issuer}"
    assert path_of(bad, issuer) == path_of(fine, issuer) == path
    assert rest(box).revoke(identifier, {"reason": "superseded"}).status == 200
    wait_listed(box, bad, "superseded", issuer)
    assert revoked_record(box, bad)["crl"] == box["HTTP_URL"] + path  # the signer, started anew, knows it still
    crl = load(box, path)
    check_form(box, crl, path, issuer)
    check_with_tools(box, crl, issuer)
    assert openssl_verdict(box, bad, crl, issuer) == "revoked" and openssl_verdict(box, fine, crl, issuer) == "good"


def test_key_compromise_said_later_replaces_the_entrys_reason_and_keeps_its_time(box):
    identifier, leaf = create(box)
    rest(box).revoke(identifier, {"reason": "superseded"})
    before = wait_listed(box, leaf, "superseded")
    rest(box).revoke(identifier, {"reason": "keyCompromise"})
    path = path_of(leaf)
    assert wait_until(lambda: [each.value.reason for each in load(box, path).get_revoked_certificate_by_serial_number(
        leaf.serial_number).extensions] == [x509.ReasonFlags.key_compromise], RECOVERY)
    assert wait_listed(box, leaf, "keyCompromise").revocation_date == before.revocation_date


def test_the_admin_sees_whether_the_list_has_it(box):
    identifier, leaf = create(box)
    assert wait_until(lambda: fetch(box["HTTP_URL"], path_of(leaf))[0] == 200, RECOVERY)
    assert "crl" not in box.admin.get(f"certificates/{identifier}")
    shown = box.admin.post(f"certificates/{identifier}/revoke", {"reason": "superseded"})
    assert shown["revoked_by"].startswith("admin:")
    assert wait_until(lambda: box.admin.get(f"certificates/{identifier}")["crl"]["listed"], RECOVERY)
    crl = box.admin.get(f"certificates/{identifier}")["crl"]
    assert crl["url"] == box["HTTP_URL"] + path_of(leaf)
    assert wait_until(lambda: crl["number"] <= number_of(load(box, path_of(leaf))), RECOVERY)
    wait_listed(box, leaf, "superseded")


# HTTP


def test_caches_get_what_they_need(box):
    path = paths_of("ecc")[3]
    assert wait_until(lambda: fetch(box["HTTP_URL"], path)[0] == 200, RECOVERY)
    status, headers, body = fetch(box["HTTP_URL"], path)
    assert headers["Cache-Control"] == "public, max-age=60" and headers["ETag"].startswith('"')
    assert parsedate_to_datetime(headers["Last-Modified"]) <= datetime.now(timezone.utc)
    assert int(headers["Content-Length"]) == len(body)
    status, head, empty = fetch(box["HTTP_URL"], path, "HEAD")
    assert status == 200 and empty == b"" and head["Content-Length"] == str(len(body)) and head["ETag"] == headers["ETag"]
    for tag in (headers["ETag"], "W/" + headers["ETag"], f'"other", {headers["ETag"]}', "*"):
        status, again, empty = fetch(box["HTTP_URL"], path, headers={"If-None-Match": tag})
        assert status == 304 and empty == b"" and again["ETag"] == headers["ETag"], tag
    for tag in ('"other"', headers["ETag"].strip('"'), '""', '"', "W/", headers["ETag"][:-1]):
        assert fetch(box["HTTP_URL"], path, headers={"If-None-Match": tag})[0] == 200, tag
    since = headers["Last-Modified"]
    assert fetch(box["HTTP_URL"], path, headers={"If-Modified-Since": since})[0] == 304
    assert fetch(box["HTTP_URL"], path, headers={"If-Modified-Since": formatdate(0, usegmt=True)})[0] == 200
    assert fetch(box["HTTP_URL"], path, headers={"If-Modified-Since": "yesterday"})[0] == 200
    # A tag decides where both are given (RFC 9110 13.2.2).
    assert fetch(box["HTTP_URL"], path, headers={"If-Modified-Since": since, "If-None-Match": '"other"'})[0] == 200


def test_a_range_is_answered_with_the_whole_list(box):
    path = paths_of("ecc")[3]
    whole = fetch(box["HTTP_URL"], path)
    for headers in ({"Range": "bytes=0-9"}, {"Range": "bytes=-5"}, {"Range": "bytes=0-9", "If-Range": whole[1]["ETag"]}):
        status, got, body = fetch(box["HTTP_URL"], path, headers=headers)
        assert status == 200 and body == whole[2] and got["Accept-Ranges"] == "none", headers


def test_what_is_no_list_is_not_found(box):
    for path in ("/crl/", "/crl/e10", "/crl/x1", "/crl/index", "/crl/ecc-all", "/crl/..%2findex", "/crl/-all.crl", "/crl/e/1"):
        assert fetch(box["HTTP_URL"], path)[0] in (400, 404), path
    assert fetch(box["HTTP_URL"], paths_of("ecc")[0], "POST")[0] == 405


def test_a_cache_of_another_name_in_front_gets_the_list_too(box):
    path = paths_of("ecc")[0]
    assert wait_until(lambda: fetch(box["HTTP_URL"], path)[0] == 200, RECOVERY)
    assert fetch(box["HTTP_URL"], path, headers={"Host": "crl.provider.example"})[0] == 200


# What breaks


def test_lists_are_served_while_redis_and_signer_are_away_and_by_workers_that_start_meanwhile(box):
    _, leaf = create(box)
    path = path_of(leaf)
    before = fetch(box["HTTP_URL"], path)
    assert before[0] == 200
    box.kill_redis()
    try:
        with stopped(*box.parts("signer"), *box.parts("admin")):
            assert fetch(box["HTTP_URL"], path) [2] == before[2]
            workers = box.parts("worker")
            for pid in workers:
                os.kill(pid, signal.SIGKILL)
            assert wait_until(lambda: not set(workers) & set(box.parts("worker")), 20)

            def is_served():
                try:
                    return fetch(box["HTTP_URL"], path)[2] == before[2]
                except OSError:
                    return False

            assert wait_until(is_served, 20)
    finally:
        box.start_redis()


def test_numbers_never_fall_over_crashes_and_restored_copies(box, tmp_path):
    """A watcher reads all lists all the while: each number is at least the one before, and what was acknowledged as revoked before a
    list was made is on it."""
    end, falls, seen = threading.Event(), [], {}
    acknowledged = []

    def watch():
        while not end.is_set():
            for path in paths_of("ecc"):
                try:
                    status, _, body = fetch(box["HTTP_URL"], path)
                except OSError:
                    continue
                if status != 200:
                    falls.append((path, status))
                    continue
                crl = x509.load_der_x509_crl(body)
                number = number_of(crl)
                if number < seen.get(path, 0):
                    falls.append((path, seen[path], number))
                seen[path] = number
                for leaf, at_ms in list(acknowledged):
                    if path in (path_of(leaf), "/crl/ecc-all.crl") and number > at_ms and \
                            crl.get_revoked_certificate_by_serial_number(leaf.serial_number) is None:
                        falls.append((path, number, at_ms, hex(leaf.serial_number)))
            time.sleep(0.05)

    for path in paths_of("ecc"):
        assert wait_until(lambda: fetch(box["HTTP_URL"], path)[0] == 200, RECOVERY)
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for fault in ("signer", "admin", "worker", "redis", "copy", "redis", "copy"):
            made = [create(box) for _ in range(6)]
            copy = OldCopy(box, Path(tempfile.mkdtemp(dir=tmp_path))) if fault == "copy" else None
            for identifier, leaf in made:
                assert rest(box).revoke(identifier).status == 200
                acknowledged.append((leaf, int(time.time() * 1000)))
            if fault == "copy":
                time.sleep(2)  # lists of what the copy does not know are published
                copy.put_back()
            elif fault == "redis":
                box.kill_redis()
                box.start_redis()
            else:
                for pid in box.parts(fault):
                    os.kill(pid, signal.SIGKILL)
            box.wait_ready(RECOVERY)
            for _, leaf in made:
                wait_listed(box, leaf)
    finally:
        end.set()
        watcher.join()
    assert not falls, falls[:5]
    assert len(seen) == SHARDS + 1


def test_a_revocation_at_one_host_is_on_the_lists_of_both(box):
    second = Second(box)
    second.start()
    try:
        base = plain_url(second.base_url)
        key = box.admin.post(f"customers/{box['CUSTOMER']}/api-keys", {"kind": "service-key"})["key"]
        there = RestClient(f"{second.base_url}/client/v4", box["CA_BUNDLE"], service_key(key))
        (first_id, first), (second_id, at_second) = create(box), create(box, client=there)
        assert rest(box).revoke(second_id).status == 200 and there.revoke(first_id).status == 200
        for leaf in (first, at_second):
            wait_listed(box, leaf)
            wait_listed(box, leaf, base=base)
        for path in paths_of("ecc"):  # one list, whoever made it
            assert wait_until(lambda: fetch(base, path)[2] == fetch(box["HTTP_URL"], path)[2], RECOVERY)
    finally:
        second.stop()
        box.admin_command("ledger", "excuse", "second", "--for-good", check=False)


def test_the_record_of_a_list_is_applied_with_its_publication(box):
    """Else each list would leave the ledger ahead of Redis, and look like something that has to be replayed."""
    _, leaf = create(box)
    before = len(box.ledger("crl"))
    replayed = box.admin.metrics()["originca_ledger_replayed_total"]
    for _ in range(3):
        identifier, leaf = create(box)
        rest(box).revoke(identifier)
        wait_listed(box, leaf)
    assert len(box.ledger("crl")) > before
    assert wait_until(lambda: box.admin.metrics()["originca_ledger_records_behind"] == 0, RECOVERY)
    assert box.admin.metrics()["originca_ledger_replayed_total"] == replayed


def test_the_command_line_lists_them_with_their_ages(box):
    _, leaf = create(box)
    assert wait_until(lambda: len(box.admin.get("crls")["items"]) >= 2 * (SHARDS + 1), RECOVERY)
    items = box.admin.get("crls")["items"]
    shown = next(item for item in items if item["url"] == box["HTTP_URL"] + path_of(leaf))
    assert shown["issuer"] == "ecc" and 0 <= shown["age_seconds"] < 7200 and shown["next_update"] > shown["this_update"]
    told = box.admin_command("crl", "list").stdout
    assert all(item["url"] in told for item in items) and "(complete)" in told
