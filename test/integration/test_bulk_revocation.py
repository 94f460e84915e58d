"""Revoking many certificates: which ones are meant, a job that no death interrupts for good and that counts nothing twice, and
the signer's guard that workers cannot do the same."""

import datetime
import os
import secrets
import signal
import socket
import struct
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from admin_api import AdminError
from cli_tools import Shell
from rest_client import RestClient, make_csr, new_key, service_key
from signer_link import OK, REVOKE, UNAVAILABLE, SignerLink, any_serial, revocation
from test_going_back import OldCopy, redis
from test_two_hosts import hosts  # noqa: F401: a fixture
from under_test import name_of, stopped, wait_until
from verify import der_of, load_chain

WORKER_RATE = 20
JOBS_AT_ONCE = 2
SANDBOX_OPTIONS = ("--workers", "1", "--set", f"signer.signer_worker_revocations_per_second={WORKER_RATE}", "--set",
                   f"server.bulk_jobs_at_once={JOBS_AT_ONCE}")


def time_text(moment):
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def create(box, customer, count, zone=None, **extra):
    """Serials of certificates made by the REST API."""
    rest = RestClient(box["API_URL"], box["CA_BUNDLE"], service_key(customer.api_key))
    names = [f"t{secrets.token_hex(4)}.{zone or customer.zone}" for _ in range(count)]
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(lambda name: rest.create([name], **extra).result["id"], names))


def shown(box, serial):
    return box.admin.get(f"certificates/{serial}")


def dry_run(box, **selection):
    return box.admin.post("revocations", {"selection": selection, "dry_run": True})


def begin(box, count, reason="superseded", admin=None, **wish):
    selection = wish.pop("selection")
    return (admin or box.admin).post("revocations", {"selection": selection, "reason": reason, "confirm": count, **wish})


def job(admin, identifier):
    return admin.get(f"revocations/{identifier}")


def ended(admin, identifier, seconds=60):
    assert wait_until(lambda: job(admin, identifier)["state"] != "running", seconds), job(admin, identifier)
    return job(admin, identifier)


def records_of(box, identifier):
    return [each for each in box.ledger("revoked") if each["by"].endswith(f" bulk:{identifier}")]


def refused(call, status, *words):
    with pytest.raises(AdminError) as caught:
        call()
    assert caught.value.status == status, caught.value
    assert all(word in str(caught.value) for word in words), caught.value


def status_of(call):
    """What a call is refused with; None where it is not."""
    try:
        call()
    except AdminError as error:
        return error.status
    return None


@pytest.fixture(scope="module")
def world(own_sandbox):
    """Two customers; the first has two zones, certificates by REST and by ACME, and one with a key used twice."""
    box = own_sandbox
    first, other = box.new_customer(), box.new_customer()
    second_zone = box.new_zone(first.id)
    key = new_key()
    name = f"k{secrets.token_hex(3)}.{first.zone}"
    certificates = {
        "rest": create(box, first, 1)[0], "rsa": create(box, first, 1, csr=make_csr(new_key("rsa2048")),
                                                         request_type="origin-rsa")[0],
        "second zone": create(box, first, 1, zone=second_zone)[0], "other": create(box, other, 1)[0],
        "key": create(box, first, 1, csr=make_csr(key))[0],
    }
    first.client.issue([name])
    time.sleep(1.1)  # times of issue are seconds
    between = datetime.datetime.utcnow()
    certificates["late"] = create(box, first, 1)[0]
    everything = box.listing(f"certificates?customer={first.id}")
    certificates["acme"] = next(each["serial"] for each in everything if each["names"] == [name])
    return SimpleNamespace(box=box, first=first, other=other, second_zone=second_zone, between=between, of=certificates)


SELECTORS = {
    "customer": lambda w: ({"customer": w.first.id}, {"rest", "rsa", "second zone", "key", "acme", "late"}),
    "zone": lambda w: ({"zone": w.second_zone}, {"second zone"}),
    "customer-and-zone": lambda w: ({"customer": w.first.id, "zone": w.second_zone.upper()}, {"second zone"}),
    "key": lambda w: ({"key": shown(w.box, w.of["key"])["spki_sha256"].upper()}, {"key"}),
    "account": lambda w: ({"account": shown(w.box, w.of["acme"])["account"]}, {"acme"}),
    "issuer": lambda w: ({"issuer": shown(w.box, w.of["rsa"])["issuer"], "customer": w.first.id},
                         {name for name, serial in w.of.items() if name != "other" and
                          shown(w.box, serial)["issuer"] == shown(w.box, w.of["rsa"])["issuer"]}),
    "issuer-alone": lambda w: ({"issuer": "ecc", "issued_since": "2020-01-01T00:00:00Z", "customer": w.other.id}, {"other"}),
    "profile": lambda w: ({"profile": shown(w.box, w.of["rest"])["profile"], "customer": w.other.id}, {"other"}),
    "issued-since": lambda w: ({"issued_since": time_text(w.between), "customer": w.first.id}, {"late"}),
    "issued-before": lambda w: ({"issued_before": time_text(w.between), "customer": w.first.id},
                                {"rest", "rsa", "second zone", "key", "acme"}),
    "serials": lambda w: ({"serials": [w.of["rest"], hex(int(w.of["other"])), "12345678901234567890"]}, {"rest", "other"}),
    "serials-and-customer": lambda w: ({"serials": [w.of["rest"], w.of["other"]], "customer": w.other.id}, {"other"}),
    "other-profile": lambda w: ({"profile": "compact", "customer": w.first.id}, set()),
}


@pytest.mark.parametrize("case", SELECTORS)
def test_a_selection_is_what_all_its_members_fit(world, case):
    selection, names = SELECTORS[case](world)
    found = dry_run(world.box, **selection)
    assert found["count"] == len(names)
    assert {each["serial"] for each in found["sample"]} == {world.of[name] for name in names}
    for each in found["sample"]:
        full = shown(world.box, each["serial"])
        assert {key: full[key] for key in each if key != "account"} == {key: each[key] for key in each if key != "account"}
        assert full["status"] == "valid"


@pytest.mark.parametrize("body, words", [
    ({"selection": {}}, "at least one of"), ({}, "selection must be"), ({"selection": {"custommer": "a"}}, "custommer"),
    ({"selection": {"customer": ""}}, "customer"), ({"selection": {"key": "zz"}}, "key"),
    ({"selection": {"issued_since": "yesterday"}}, "issued_since"), ({"selection": {"issuer": "nobody"}}, "nobody, but ecc, rsa"),
    ({"selection": {"profile": "nosuch"}}, "no profile nosuch and no valid certificate of it, but origin"),
    ({"selection": {"serials": []}}, "serials"), ({"selection": {"serials": ["x"]}}, "serial"),
    ({"selection": {"serials": ["1"], "serial_list": "0" * 32}}, "not both"),
    ({"selection": {"zone": "a.test"}, "dry_run": 1}, "dry_run"),
    ({"selection": {"issuer": "ecc"}, "dry_run": False, "reason": "superseded"}, "confirm"),
    ({"selection": {"issuer": "ecc"}, "dry_run": False, "confirm": 1}, "reason"),
    ({"selection": {"issuer": "ecc"}, "per_second": 0}, "per_second"),
    ({"selection": {"issuer": "ecc"}, "reason": "bored"}, "reason"),
])
def test_what_is_no_selection_is_refused(own_sandbox, body, words):
    refused(lambda: own_sandbox.admin.post("revocations", {"dry_run": True, **body}), 400, words)


def test_unknown_owners_and_jobs_are_404(own_sandbox):
    refused(lambda: dry_run(own_sandbox, customer="nobody"), 404)
    refused(lambda: dry_run(own_sandbox, zone="nothing.test"), 404)
    refused(lambda: job(own_sandbox.admin, "0" * 32), 404)
    refused(lambda: own_sandbox.admin.post(f"revocations/{'0' * 32}/cancel"), 404)


def test_a_job_revokes_what_was_selected_and_nothing_else(own_sandbox):
    box, customer = own_sandbox, own_sandbox.new_customer()
    other_zone = box.new_zone(customer.id)
    wanted, kept = create(box, customer, 12), create(box, customer, 3, zone=other_zone)
    box.admin.post(f"certificates/{wanted[0]}/revoke", {"reason": "keyCompromise"})
    selection = {"customer": customer.id, "zone": customer.zone}
    assert dry_run(box, **selection)["count"] == 11
    for wrong in (0, 10, 12):
        refused(lambda: begin(box, wrong, selection=selection), 409, "11 certificates are selected")
    assert all(shown(box, serial)["status"] == "valid" for serial in wanted[1:])
    made = begin(box, 11, selection=selection, reason="cessationOfOperation")
    assert (made["total"], made["state"], made["reason"]) == (11, "running", "cessationOfOperation")
    done = ended(box.admin, made["id"])
    assert (done["state"], done["done"], done["failed"], done["skipped"]) == ("done", 11, 0, 0)
    for serial in wanted[1:]:
        certificate = shown(box, serial)
        assert (certificate["status"], certificate["reason"]) == ("revoked", "cessationOfOperation")
        assert certificate["revoked_by"].endswith(f"bulk:{made['id']}")
    assert shown(box, wanted[0])["reason"] == "keyCompromise"
    assert all(shown(box, serial)["status"] == "valid" for serial in kept)
    assert len(records_of(box, made["id"])) == 11
    assert made["id"] in [each["id"] for each in box.listing("revocations")]
    refused(lambda: box.admin.post(f"revocations/{made['id']}/cancel"), 409, "done")
    refused(lambda: begin(box, 0, selection=selection), 404)


def test_a_job_that_is_cancelled_begins_nothing_more(own_sandbox):
    box, customer = own_sandbox, own_sandbox.new_customer()
    create(box, customer, 20)
    made = begin(box, 20, selection={"customer": customer.id}, per_second=3)
    assert wait_until(lambda: job(box.admin, made["id"])["done"] >= 3, 20)
    assert box.admin.post(f"revocations/{made['id']}/cancel")["state"] == "cancelled"
    records = wait_steady(lambda: len(records_of(box, made["id"])))
    assert 3 <= records < 20
    assert job(box.admin, made["id"])["state"] == "cancelled"
    assert dry_run(box, customer=customer.id)["count"] == 20 - records


def cut_off_of(found):
    return {"cut_off": found["cut_off"]}


def test_what_is_issued_after_the_count_is_never_revoked(own_sandbox):
    """However soon after it, also in the same second."""
    box, customer = own_sandbox, own_sandbox.new_customer()
    counted = create(box, customer, 3)
    selection = {"customer": customer.id}
    found = dry_run(box, **selection)
    late = create(box, customer, 2)
    assert found["count"] == 3
    refused(lambda: begin(box, 3, selection=selection), 409, "5 certificates are selected")
    made = begin(box, 3, selection=selection, **cut_off_of(found))
    later = create(box, customer, 1)
    assert made["total"] == 3 and ended(box.admin, made["id"])["done"] == 3
    assert {shown(box, serial)["status"] for serial in counted} == {"revoked"}
    assert {shown(box, serial)["status"] for serial in late + later} == {"valid"}
    for wrong in (0, "1", found["cut_off"] * 1000):
        refused(lambda: begin(box, 3, selection=selection, cut_off=wrong), 409 if wrong and wrong != "1" else 400, "cut_off")


def test_a_list_of_serials_is_fixed_once_it_was_counted(own_sandbox):
    box, customer = own_sandbox, own_sandbox.new_customer()
    serials = create(box, customer, 4)
    made = box.admin.post("serial-lists", {"serials": serials[:1]})
    assert box.admin.post("serial-lists", {"serials": serials[1:2], "serial_list": made["serial_list"]})["count"] == 2
    found = dry_run(box, serial_list=made["serial_list"])
    grow = {"serials": serials[2:3], "serial_list": made["serial_list"]}
    refused(lambda: box.admin.post("serial-lists", grow), 409, "fixed")
    started = begin(box, 2, selection={"serial_list": made["serial_list"]}, **cut_off_of(found))
    refused(lambda: box.admin.post("serial-lists", grow), 409, "fixed")
    assert ended(box.admin, started["id"])["done"] == 2
    refused(lambda: box.admin.post("serial-lists", {**grow, "serial_list": "0" * 32}), 404, "no such list")
    refused(lambda: dry_run(box, serial_list="0" * 32), 404, "list of serials")


def test_a_job_whose_list_is_gone_fails(own_sandbox):
    box, customer = own_sandbox, own_sandbox.new_customer()
    serials = create(box, customer, 12)
    made = begin(box, 12, selection={"serials": serials}, per_second=2)
    assert wait_until(lambda: job(box.admin, made["id"])["done"] >= 2, 30)
    redis(box, "DEL", f"bulk-serials:{made['selection']['serial_list']}")  # nothing needs it any more
    redis(box, "DEL", f"bulk-plan:{redis(box, 'HGET', 'bulk:' + made['id'], 'plan')}")
    failed = ended(box.admin, made["id"])
    assert failed["state"] == "failed" and "list of its certificates" in failed["problem"] and failed["done"] < 12
    waited = box.admin_command("revocation", "wait", made["id"], check=False)
    assert waited.returncode == 1 and "list of its certificates" in waited.stdout + waited.stderr
    again = box.admin_command("cert", "revoke", *serials, "--reason", "superseded", "--yes", "--json")
    assert '"state": "done"' in again.stdout and {shown(box, serial)["status"] for serial in serials} == {"revoked"}


@pytest.mark.parametrize("went_back", [False, True], ids=["started again", "restored"])
def test_a_count_of_before_redis_began_again_confirms_nothing(own_sandbox, tmp_path, went_back):
    """Numbers that certificates get in a Redis that was restored are others than they were, or may be."""
    box, customer = own_sandbox, own_sandbox.new_customer()
    create(box, customer, 2)
    copy = OldCopy(box, tmp_path)
    selection = {"customer": customer.id}
    create(box, customer, 1)
    found = dry_run(box, **selection)
    assert found["count"] == 3
    if went_back:
        copy.put_back()
    else:
        box.kill_redis()
        box.start_redis()
    box.wait_ready(60)
    assert wait_until(lambda: status_of(lambda: dry_run(box, **selection)) is None and dry_run(box, **selection)["count"] == 3, 60)
    refused(lambda: begin(box, 3, selection=selection, **cut_off_of(found)), 409, "count again")
    refused(lambda: box.admin.post("replacements", {"selection": selection, "over_seconds": 60, **cut_off_of(found)}), 409,
            "count again")
    later = create(box, customer, 1)
    new = dry_run(box, **selection)
    assert new["cut_off"] > found["cut_off"] and new["count"] == 4
    made = begin(box, 4, selection=selection, **cut_off_of(new))
    assert ended(box.admin, made["id"])["done"] == 4 and shown(box, later[0])["status"] == "revoked"


def wait_steady(count):
    """What a count is once it has been the same for three seconds."""
    last, since = count(), time.monotonic()
    while time.monotonic() < since + 3:
        time.sleep(0.5)
        now = count()
        if now != last:
            last, since = now, time.monotonic()
    return last


def check_whole(box, admin, made, count, ledgers=None):
    done = ended(admin, made["id"], 120)
    assert (done["state"], done["done"], done["failed"]) == ("done", count, 0), done
    if ledgers is None:
        serials = [each["serial"] for each in records_of(box, made["id"])]
        assert len(serials) == len(set(serials)) == count
    return done


def test_slow_jobs_take_turns_and_keep_back_no_urgent_one(own_sandbox):
    box, customers = own_sandbox, [own_sandbox.new_customer() for _ in range(JOBS_AT_ONCE + 2)]
    for customer in customers:
        create(box, customer, 25)
    slow = [begin(box, 25, selection={"customer": customer.id}, per_second=1)["id"] for customer in customers[:-1]]
    assert wait_until(lambda: all(job(box.admin, each)["done"] >= 2 for each in slow), 60), "all of them go on"
    turns = [job(box.admin, each)["turn"] for each in slow]
    assert set(turns) <= {"working", "waiting"} and "turn" in box.admin_command("revocation", "show", slow[0]).stdout
    urgent = begin(box, 25, selection={"customer": customers[-1].id}, reason="keyCompromise")
    assert urgent["urgent"]
    done = ended(box.admin, urgent["id"], 20)
    assert (done["state"], done["done"]) == ("done", 25)
    states = [job(box.admin, each) for each in slow]
    assert {each["state"] for each in states} == {"running"} and all(each["done"] < 25 for each in states)
    for each in slow:
        assert box.admin.post(f"revocations/{each}/cancel")["state"] == "cancelled"
    wait_steady(lambda: sum(len(records_of(box, each)) for each in slow))
    for each, customer in zip(slow, customers):
        left = dry_run(box, customer=customer.id)["count"]
        assert job(box.admin, each)["state"] == "cancelled" and left == 25 - len(records_of(box, each)) > 0


def test_an_admin_process_that_is_killed_is_followed_by_one_that_goes_on(own_sandbox):
    box, customer = own_sandbox, own_sandbox.new_customer()
    create(box, customer, 50)
    made = begin(box, 50, selection={"customer": customer.id}, per_second=10)
    for reached in (10, 30):
        assert wait_until(lambda: job(box.admin, made["id"])["done"] >= reached, 60)
        time.sleep(0.35)  # into a page
        box.kill(box.admin_process())
        box.wait_ready()
    check_whole(box, box.admin, made, 50)


def test_a_job_waits_for_redis_and_for_the_signer(own_sandbox):
    box, customer = own_sandbox, own_sandbox.new_customer()
    create(box, customer, 40)
    made = begin(box, 40, selection={"customer": customer.id}, per_second=10)
    assert wait_until(lambda: job(box.admin, made["id"])["done"] >= 10, 60)
    box.kill(box.signer())
    box.wait_ready()
    box.kill_redis()
    box.start_redis()
    box.wait_ready()
    check_whole(box, box.admin, made, 40)


def test_what_a_forgotten_job_left_is_taken_by_the_same_command_again(own_sandbox, tmp_path):
    """Redis comes back from a copy of before the job: what was revoked stays so, and nothing is revoked twice."""
    box, customer = own_sandbox, own_sandbox.new_customer()
    serials = set(create(box, customer, 20))
    copy = OldCopy(box, tmp_path)
    made = begin(box, 20, selection={"customer": customer.id}, per_second=5)
    assert wait_until(lambda: job(box.admin, made["id"])["done"] >= 5, 30)
    copy.put_back()
    box.wait_ready()
    assert wait_until(lambda: status_of(lambda: job(box.admin, made["id"])) == 404, 60)
    left = 20 - len(records_of(box, made["id"]))
    assert left > 0 and dry_run(box, customer=customer.id)["count"] == left
    again = box.admin_command("cert", "revoke", "--customer", customer.id, "--reason", "superseded", "--yes", "--json")
    assert f'"done": {left}' in again.stdout
    assert {shown(box, serial)["status"] for serial in serials} == {"revoked"}
    records = [each["serial"] for each in box.ledger("revoked")]
    assert all(records.count(f"{int(serial):032x}") == 1 for serial in serials)
    nothing = box.admin_command("cert", "revoke", "--customer", customer.id, "--reason", "superseded", "--yes", check=False)
    assert nothing.returncode == 1 and "no valid certificate is selected" in nothing.stderr


# The command line


def originca(box, *arguments):
    program = Path(os.environ["ORIGINCA_BUILD"]) / "cli" / "originca"
    return [str(program), "admin", "--socket", box["ADMIN_SOCKET"], *arguments]


def test_the_command_line_shows_first_and_asks(own_sandbox, tmp_path):
    box, customer = own_sandbox, own_sandbox.new_customer()
    create(box, customer, 13)
    selection = ("cert", "revoke", "--customer", customer.id)
    shows = box.admin_command(*selection, "--dry-run")
    assert "13 valid certificates are selected; nothing was changed" in shows.stdout and "... and 3 more" in shows.stdout
    silent = box.admin_command(*selection, "--reason", "superseded", check=False)
    assert silent.returncode == 2 and "--yes" in silent.stderr and "--dry-run" in silent.stderr
    assert box.admin_command(*selection, "--yes", check=False).returncode == 2  # no reason
    nothing = box.admin_command("cert", "revoke", "--reason", "superseded", "--yes", check=False)
    assert nothing.returncode == 2 and "which ones?" in nothing.stderr
    unknown = box.admin_command("cert", "revoke", "--zone", "no.test", "--reason", "superseded", "--yes", check=False)
    assert unknown.returncode == 1
    shell = Shell(tmp_path)
    asked = shell.terminal(*originca(box, *selection, "--reason", "superseded")[1:], typed="12\n", status=1)
    assert "type their number" in asked.out and "nothing was changed" in asked.out
    assert dry_run(box, customer=customer.id)["count"] == 13
    done = shell.terminal(*originca(box, *selection, "--reason", "superseded")[1:], typed="13\n", status=0)
    assert "] 13/13" in done.out and "done" in done.out  # the bar
    assert "done" in box.admin_command("revocation", "list").stdout


def test_one_key_that_is_blocked_is_asked_for_on_a_terminal_alone(own_sandbox, tmp_path):
    box, customer = own_sandbox, own_sandbox.new_customer()
    serials, shell = create(box, customer, 4), Shell(tmp_path)

    def command(at, *more):
        return originca(box, "cert", "revoke", serials[at], "--reason", "keyCompromise", *more)[1:]

    refused_one = shell.terminal(*command(0), typed="yes\n", status=1)
    assert "type keyCompromise" in refused_one.out and "nothing was changed" in refused_one.out
    assert shown(box, serials[0])["status"] == "valid"
    shell.terminal(*command(0), typed="keyCompromise\n", status=0)
    assert "type keyCompromise" not in shell.terminal(*command(1, "--yes"), status=0).out
    box.admin_command("cert", "revoke", serials[2], "--reason", "keyCompromise")  # a script
    plain = shell.terminal(*originca(box, "cert", "revoke", serials[3], "--reason", "superseded")[1:], status=0)
    assert "type" not in plain.out.lower().replace("key type", "")
    assert {shown(box, serial)["status"] for serial in serials} == {"revoked"}


def test_a_profile_or_issuer_that_there_is_not_is_refused_by_the_command(own_sandbox):
    for option, known in (("--profile", "origin"), ("--issuer", "ecc, rsa")):
        said = own_sandbox.admin_command("cert", "revoke", option, "nosuch", "--dry-run", check=False)
        assert said.returncode == 1 and "nosuch" in said.stderr and known in said.stderr, said.stderr
    said = own_sandbox.admin_command("issuance", "stop", "--issuer", "nosuch", check=False)
    assert said.returncode == 1 and "no issuer nosuch, but ecc, rsa" in said.stderr, said.stderr


def test_serials_come_from_the_command_line_or_a_file(own_sandbox, tmp_path):
    box, customer = own_sandbox, own_sandbox.new_customer()
    serials = create(box, customer, 5)
    both = box.admin_command("cert", "revoke", *serials[:2], "--reason", "superseded", "--yes", "--json")
    assert '"done": 2' in both.stdout
    file = tmp_path / "serials"
    file.write_text(f"# from the incident\n{serials[2]}\n{hex(int(serials[3]))}, {serials[0]}  # one is revoked already\n")
    assert '"count": 2' in box.admin_command("cert", "revoke", "--serials", str(file), "--dry-run", "--json").stdout
    box.admin_command("cert", "revoke", "--serials", str(file), "--reason", "superseded", "--yes", "--per-second", "100")
    assert [shown(box, serial)["status"] for serial in serials] == ["revoked"] * 4 + ["valid"]
    one = box.admin_command("cert", "revoke", serials[4], "--reason", "superseded")
    assert "revoked by    admin:" in one.stdout


def test_a_long_file_of_serials_goes_in_parts(own_sandbox, tmp_path):
    box, customer = own_sandbox, own_sandbox.new_customer()
    serials = create(box, customer, 2)
    file = tmp_path / "serials"
    file.write_text("\n".join([serials[0], *(str(secrets.randbits(127)) for _ in range(2500)), serials[1]]))
    assert '"count": 2' in box.admin_command("cert", "revoke", "--serials", str(file), "--dry-run", "--json").stdout


def test_a_file_of_a_hundred_thousand_serials_is_revoked_to_the_end(own_sandbox, tmp_path):
    """As spreadsheets and scripts write it: a mark at its start, CRLF, blank lines, comments, hex among decimals."""
    box, customer = own_sandbox, own_sandbox.new_customer()
    serials = create(box, customer, 4)
    lines = [str(secrets.randbits(127)) for _ in range(100000)]
    for at, serial in zip((0, 31234, 70000, 99999), (serials[0], f"  {hex(int(serials[1]))}  # of shop", serials[2], serials[3])):
        lines[at] = serial
    file = tmp_path / "serials"
    file.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(["# from the incident", "", *lines[:50000], "", "   ", *lines[50000:]]).encode())
    assert file.stat().st_size > 2**20
    done = box.admin_command("cert", "revoke", "--serials", str(file), "--reason", "superseded", "--yes", "--json")
    assert '"done": 4' in done.stdout and '"total": 4' in done.stdout
    assert {shown(box, serial)["status"] for serial in serials} == {"revoked"}


def test_a_wrong_line_is_named_before_anything_is_revoked(own_sandbox, tmp_path):
    box, customer = own_sandbox, own_sandbox.new_customer()
    serials, file = create(box, customer, 2), tmp_path / "serials"
    lines = [serials[0], *(str(secrets.randbits(127)) for _ in range(2500)), "", "shop.example\x1b[2J", serials[1]]
    file.write_text("\n".join(lines))
    command = ("cert", "revoke", "--serials", str(file), "--reason", "superseded", "--yes")
    wrong = box.admin_command(*command, check=False)
    assert wrong.returncode == 4 and "line 2503" in wrong.stderr and "shop.example?[2J is no serial" in wrong.stderr
    file.write_text("# nothing but\n\n")
    assert box.admin_command(*command, check=False).returncode == 4
    file.unlink()
    assert box.admin_command(*command, check=False).returncode == 4
    typed = box.admin_command("cert", "revoke", serials[0], "shop", "--reason", "superseded", "--yes", check=False)
    assert typed.returncode == 2 and "serial 2 of 2: shop is no serial" in typed.stderr and "0x" in typed.stderr
    assert {shown(box, serial)["status"] for serial in serials} == {"valid"}


def test_a_slip_in_a_serial_is_named_and_nothing_is_revoked(own_sandbox, tmp_path):
    box, customer = own_sandbox, own_sandbox.new_customer()
    serials = create(box, customer, 2)
    slip = serials[1][:-1] + ("1" if serials[1][-1] != "1" else "2")
    for place, command in ((2, ("cert", "revoke", serials[0], slip, "--reason", "superseded", "--yes")),
                           (1, ("cert", "revoke", slip, serials[0], "--dry-run"))):
        said = box.admin_command(*command, check=False)
        assert said.returncode == 1 and f"serial {place} of 2, {slip}: there is no certificate" in said.stderr, said.stderr
    assert {shown(box, serial)["status"] for serial in serials} == {"valid"}
    (file := tmp_path / "serials").write_text(f"{serials[0]}\n{slip}\n")
    dry_runs = {reason: box.admin_command("cert", "revoke", "--serials", str(file), "--dry-run", "--reason", reason)
                for reason in ("keyCompromise", "superseded")}
    counted = dry_runs["superseded"].stdout
    assert "1 valid certificate is selected" in counted and "2 serials were given" in counted
    assert "blocks the key of each of them, for everybody" in dry_runs["keyCompromise"].stderr
    assert dry_runs["superseded"].stderr == ""
    box.admin_command("cert", "revoke", serials[0], "--reason", "superseded")
    over = box.admin_command("cert", "revoke", *serials, "--reason", "superseded", "--yes")
    assert f"serial 1 of 2, {serials[0]}, is passed over: it is revoked" in over.stderr
    assert shown(box, serials[1])["status"] == "revoked"


def test_the_command_line_takes_more_than_a_few_serials(own_sandbox):
    box, customer = own_sandbox, own_sandbox.new_customer()
    serials = create(box, customer, 1)
    assert '"done": 1' in box.admin_command("cert", "revoke", *serials * 1500, "--reason", "superseded", "--yes", "--json").stdout


def test_an_interrupted_command_leaves_the_job_going(own_sandbox):
    box, customer = own_sandbox, own_sandbox.new_customer()
    create(box, customer, 15)
    command = subprocess.Popen(originca(box, "cert", "revoke", "--customer", customer.id, "--reason", "superseded", "--yes",
                                        "--per-second", "4"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    identifier = next(line for line in command.stdout if line.startswith("job ")).split()[1]
    assert wait_until(lambda: job(box.admin, identifier)["done"] >= 4, 30)
    command.send_signal(signal.SIGINT)
    _, errors = command.communicate(timeout=20)
    assert command.returncode == 130 and f"revocation wait {identifier}" in errors
    waited = box.admin_command("revocation", "wait", identifier)
    assert "done" in waited.stdout
    check_whole(box, box.admin, {"id": identifier}, 15)


# The guard is in the signer


def test_workers_together_have_a_rate_of_revocations_and_operators_none(own_sandbox):
    folder = Path(own_sandbox["ADMIN_SOCKET"]).parent
    begun, codes = time.monotonic(), []
    with SignerLink(folder) as first, SignerLink(folder) as second, SignerLink(folder) as third:
        for number in range(6 * WORKER_RATE):
            link = (first, second, third)[number % 3]
            codes.append(link.ask(REVOKE, revocation(any_serial(), 4, "account:a1")).code)
    allowed = WORKER_RATE * (2 + time.monotonic() - begun)
    assert codes.count(OK) <= allowed and set(codes) <= {OK, UNAVAILABLE}
    assert UNAVAILABLE in codes or allowed > len(codes)
    with SignerLink(folder, is_operator=True) as operator:
        for _ in range(6 * WORKER_RATE):
            assert operator.ask(REVOKE, revocation(any_serial(), 4, "admin:test")).code == OK
        codes = [operator.ask(REVOKE, revocation(any_serial(), 5, "recovery")).code for _ in range(6 * WORKER_RATE)]
    assert codes[0] == OK and UNAVAILABLE in codes and set(codes) == {OK, UNAVAILABLE}, "what a replay revokes is no operator's word"
    assert wait_until(lambda: "find out who writes into Redis" in own_sandbox.log_text(), 10)


class Flood:
    """A worker in foreign hands that revokes what it can, while the block runs."""

    def __init__(self, box):
        self.folder, self.is_over, self.codes = Path(box["ADMIN_SOCKET"]).parent, threading.Event(), []
        self.threads = [threading.Thread(target=self.run) for _ in range(4)]

    def run(self):
        with SignerLink(self.folder) as link:
            while not self.is_over.is_set():
                self.codes.append(link.ask(REVOKE, revocation(any_serial(), 4, "account:a1")).code)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        assert wait_until(lambda: UNAVAILABLE in self.codes, 20)
        return self

    def __exit__(self, *_):
        self.is_over.set()
        for thread in self.threads:
            thread.join()


def test_beyond_the_rate_clients_are_told_to_come_again_and_operators_are_served(own_sandbox):
    box, customer = own_sandbox, own_sandbox.new_customer()
    serials, counter = create(box, customer, 12), "originca_signer_revocations_slowed_total"
    # Several of each: now and then one gets through between two of the flood.
    leaves = [load_chain(customer.client.issue([box.name(customer.zone)])[1])[0] for _ in range(8)]
    rest, before = RestClient(box["API_URL"], box["CA_BUNDLE"], service_key(customer.api_key)), box.admin.metrics()[counter]
    with Flood(box):
        by_rest = wait_until(lambda: (answer := rest.revoke(serials.pop())).status == 503 and answer, 20, pause=0.05)
        assert int(by_rest.headers["Retry-After"]) > 0
        by_acme = wait_until(lambda: (answer := customer.client.revoke(der_of(leaves.pop()))).status == 503 and answer, 20,
                             pause=0.05)
        assert int(by_acme.headers["Retry-After"]) > 0
        left = dry_run(box, customer=customer.id)["count"]
        assert left >= 1
        made = begin(box, left, selection={"customer": customer.id})
        assert ended(box.admin, made["id"])["done"] == left
    assert box.admin.metrics()[counter] > before
    assert "workers ask for more revocations than they may" in box.log_text()


# Last: from here on the other host takes jobs too, and has them in its own ledger


def process_behind(path):
    """Who listens on a unix socket."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        return struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]


def test_another_host_goes_on_with_the_job_of_one_that_is_silent(own_sandbox, hosts):  # noqa: F811
    box, customer = own_sandbox, own_sandbox.new_customer()
    create(box, customer, 40)
    made = begin(box, 40, selection={"customer": customer.id}, per_second=4)
    assert wait_until(lambda: job(box.admin, made["id"])["done"] >= 4, 60)
    owner = job(box.admin, made["id"])["host"]
    silent, awake = (hosts[1], hosts[0]) if owner == "second" else hosts
    admin = process_behind(silent.admin.path)
    assert name_of(admin) == "oca-admin"
    with stopped(admin):
        assert wait_until(lambda: job(awake.admin, made["id"])["host"] != owner, 60)
        done = check_whole(box, awake.admin, made, 40, ledgers="two")
        assert done["host"] != owner
    everything = box.listing(f"certificates?customer={customer.id}")
    assert len(everything) == 40 and all(each["status"] == "revoked" for each in everything)
