"""`originca` as a customer runs it, against the real server: keys and files, renewal, listing and revoking, where
settings come from, and what goes over the wire. What needs no server is in test_cli_local.py."""

import fcntl
import json
import os
import re
import signal
import subprocess
import threading

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from cli_tools import Recorder, Shell, mode, names_of, private_numbers, signed_by, spellings, spki
from under_test import wait_until

OK, REFUSED, USAGE, NO_SERVER, FILES, HOOK = range(6)


@pytest.fixture
def shell(sandbox, tmp_path):
    return Shell(tmp_path, sandbox)


@pytest.fixture
def recorder(sandbox, tmp_path):
    recorder = Recorder(tmp_path, sandbox)
    yield recorder
    recorder.close()


# getcert


@pytest.mark.parametrize("kind, size, issuer", [
    ("rsa", 2048, "ISSUER_RSA"), ("rsa", 3072, "ISSUER_RSA"), ("rsa", 4096, "ISSUER_RSA"),
    ("ecdsa", 256, "ISSUER_ECC"), ("ecdsa", 384, "ISSUER_ECC"),
])
def test_getcert_writes_a_key_that_only_its_owner_reads_and_its_certificate(sandbox, shell, kind, size, issuer):
    name = sandbox.name()
    shell.run("getcert", "--hostnames", f"{name},*.{name}", "--key-type", kind, "--key-size", size, "--days", 7, umask=0)
    assert shell.files() == [f"{name}.key", f"{name}.pem"]
    assert (mode(shell.path(f"{name}.key")), mode(shell.path(f"{name}.pem"))) == (0o600, 0o644)
    key, certificate = shell.key(f"{name}.key"), shell.certificate(f"{name}.pem")
    assert key.key_size == size and isinstance(key, rsa.RSAPrivateKey if kind == "rsa" else ec.EllipticCurvePrivateKey)
    assert spki(key) == spki(certificate.public_key())
    assert names_of(certificate) == [name, f"*.{name}"]
    assert (certificate.not_valid_after - certificate.not_valid_before).days == 7
    signed_by(certificate, sandbox[issuer])


def test_getcert_defaults_to_p256_and_15_years_and_reports_both_as_json(sandbox, shell):
    name = sandbox.name()
    told = shell.run("getcert", name, "--json").json
    certificate = shell.certificate(f"{name}.pem")
    assert isinstance(shell.key(f"{name}.key").curve, ec.SECP256R1)
    assert told["id"] == str(certificate.serial_number) and told["hostnames"] == [name]
    assert told["requested_validity"] == 5475 and told["status"] == "issued"
    assert (told["key_file"], told["certificate_file"]) == (f"{name}.key", f"{name}.pem")


@pytest.mark.parametrize("form, extension", [("pem", "pem"), ("der", "der"), ("p7b", "p7b"), ("chain", "pem")])
def test_each_format_holds_the_same_certificate(sandbox, shell, form, extension):
    name = sandbox.name()
    identity = shell.run("getcert", name, "--format", form, "--json").json["id"]
    data = shell.path(f"{name}.{extension}").read_bytes()
    if form == "der":
        found = [x509.load_der_x509_certificate(data)]
    elif form == "p7b":
        text = subprocess.run(["openssl", "pkcs7", "-print_certs"], input=data, capture_output=True, check=True).stdout
        found = [x509.load_pem_x509_certificate(block) for block in
                 re.findall(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", text, re.S)]
    else:
        found = [x509.load_pem_x509_certificate(block) for block in
                 re.findall(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", data, re.S)]
    assert identity in [str(each.serial_number) for each in found]
    assert len(found) == (2 if form in ("chain", "p7b") else 1)
    if form == "chain":
        assert str(found[0].serial_number) == identity
        assert open(sandbox["ISSUER_ECC"], "rb").read() in data


@pytest.mark.parametrize("form, begin", [
    ("pkcs8", b"-----BEGIN PRIVATE KEY-----"), ("traditional", b"-----BEGIN EC PRIVATE KEY-----"), ("der", b"\x30")])
def test_each_key_format_is_what_it_says(sandbox, shell, form, begin):
    name = sandbox.name()
    shell.run("getcert", name, "--key-format", form)
    data = shell.path(f"{name}.key").read_bytes()
    assert data.startswith(begin)
    load = serialization.load_der_private_key if form == "der" else serialization.load_pem_private_key
    assert spki(load(data, None)) == spki(shell.certificate(f"{name}.pem").public_key())


def test_an_existing_file_is_kept_and_nothing_is_asked_of_the_server(sandbox, shell, recorder):
    name = sandbox.name()
    for existing in (f"{name}.key", f"{name}.pem"):
        shell.write(existing, "precious")
        refused = shell.run("getcert", name, status=FILES, **recorder.environment)
        assert f"{existing} exists; --overwrite replaces it" in refused.err
        assert shell.path(existing).read_text() == "precious" and shell.files() == [existing]
        shell.path(existing).unlink()
    assert recorder.sent("POST") == []


@pytest.mark.parametrize("extension", ["key", "pem"])
def test_a_file_that_appears_while_the_server_answers_is_kept(sandbox, shell, recorder, extension):
    name = sandbox.name()

    def late(pass_on):
        answer = pass_on()
        shell.write(f"{name}.{extension}", "precious")
        return answer

    recorder.answer("POST", "/client/v4/certificates", late)
    assert "exists" in shell.run("getcert", name, status=FILES, **recorder.environment).err
    assert shell.path(f"{name}.{extension}").read_text() == "precious"
    assert shell.files() == [f"{name}.{extension}"]


def test_overwrite_replaces_both_files_and_keeps_a_symbolic_link(sandbox, shell):
    name = sandbox.name()
    shell.run("getcert", name, "--no-state")
    old = shell.certificate(f"{name}.pem")
    shell.path("real").mkdir()
    shell.path(f"{name}.pem").rename(shell.path("real/leaf.pem"))
    shell.path(f"{name}.pem").symlink_to("real/leaf.pem")
    shell.run("getcert", name, "--overwrite", "--no-state")
    assert shell.path(f"{name}.pem").is_symlink()
    new = shell.certificate("real/leaf.pem")
    assert new.serial_number != old.serial_number
    assert spki(shell.key(f"{name}.key")) == spki(new.public_key()) != spki(old.public_key())


def test_overwrite_does_not_write_into_a_folder_or_device(sandbox, shell):
    refused = shell.run("getcert", sandbox.name(), "--overwrite", "--key-out", "/dev/null", status=FILES)
    assert "not a regular file" in refused.err


def test_a_folder_that_does_not_exist_costs_no_certificate(sandbox, shell, recorder):
    shell.run("getcert", sandbox.name(), "--out-dir", "nowhere", status=FILES, **recorder.environment)
    assert recorder.sent("POST") == []


def test_a_refusal_leaves_no_file_behind(sandbox, shell):
    refused = shell.run("getcert", sandbox.name(sandbox["ZONE_2"]), status=REFUSED)
    assert "code 1010" in refused.err and "request " in refused.err
    assert shell.files() == []


def test_a_signal_while_waiting_leaves_no_key_behind(sandbox, shell, recorder):
    asked, release = threading.Event(), threading.Event()

    def hold(pass_on):
        asked.set()
        release.wait(60)
        return 500, {}, b""

    recorder.answer("POST", "/client/v4/certificates", hold)
    process = subprocess.Popen([shell.program, "getcert", sandbox.name()], cwd=shell.directory,
                               env={**shell.environment, **recorder.environment})
    assert asked.wait(60)
    assert any(name.startswith(".originca.") for name in shell.files())
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == -signal.SIGTERM
    release.set()
    assert shell.files() == []


def test_a_certificate_for_another_key_is_not_written(sandbox, shell, recorder):
    shell.run("getcert", sandbox.name(), "--no-state", "--key-out", "a.key", "--certificate-out", "a.pem")
    stranger = shell.path("a.pem").read_text()

    def swap(pass_on):
        status, headers, body = pass_on()
        answer = json.loads(body)
        answer["result"]["certificate"] = stranger
        return status, headers, json.dumps(answer).encode()

    recorder.answer("POST", "/client/v4/certificates", swap)
    refused = shell.run("getcert", sandbox.name(), status=REFUSED, **recorder.environment)
    assert "another key" in refused.err
    assert shell.files() == ["a.key", "a.pem"]


def test_a_csr_of_ones_own_is_used_and_a_private_key_in_its_place_is_refused(sandbox, shell, recorder):
    name = sandbox.name()
    subprocess.run(["openssl", "req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", "own.key", "-out", "own.csr",
                    "-subj", f"/CN={name}"], cwd=shell.directory, check=True, capture_output=True)
    told = shell.run("getcert", name, "--csr", "own.csr", "--json").json
    assert told["request_type"] == "origin-rsa" and told.get("key_file") is None
    assert spki(shell.certificate(f"{name}.pem").public_key()) == spki(shell.key("own.key"))
    refused = shell.run("getcert", name, "--csr", "own.key", "--overwrite", status=USAGE, **recorder.environment)
    assert "a key is never sent" in refused.err
    assert recorder.requests == []


@pytest.mark.parametrize("arguments, words", [
    (["--key-type", "dsa"], "rsa or ecdsa"), (["--key-type", "rsa", "--key-size", "1024"], "2048, 3072 or 4096"),
    (["--key-size", "521"], "256 or 384"), (["--format", "pfx"], "pem, der, p7b or chain"), (["--days", "x"], "--days"),
    (["--request-type", "keyless"], "origin-rsa or origin-ecc"), (["--key-format", "pem"], "pkcs8"),
    (["--nonsense"], "unrecognized option"), (["--hostnames", "../../etc/passwd"], "file name"),
    (["--key-out", "a", "--certificate-out", "a"], "one file"),
])
def test_a_mistake_on_the_command_line_says_what_is_right(shell, arguments, words):
    hostnames = [] if "--hostnames" in arguments else ["a.shop.test"]
    refused = shell.run("getcert", *hostnames, *arguments, status=USAGE)
    assert words in refused.err and shell.files() == []


def test_days_that_the_server_does_not_sell_are_refused_with_its_words(sandbox, shell):
    assert "7, 30, 90, 365, 730, 1095, 5475" in shell.run("getcert", sandbox.name(), "--days", 8, status=REFUSED).err


# Many


def test_a_file_of_hostnames_gives_a_certificate_a_line_and_goes_on_where_it_stopped(sandbox, shell):
    one, two, alien = sandbox.name(), sandbox.name(), sandbox.name(sandbox["ZONE_2"])
    shell.write("sets", f"# servers\n{one}, *.{one}\n\n{alien}\n{two}   # last\n")
    first = shell.run("getcert", "--from-file", "sets", "--json", status=REFUSED)
    assert [each["status"] for each in first.json] == ["issued", "failed", "issued"]
    assert "1010" in first.json[1]["error"] and "1 of 3" in first.err
    assert names_of(shell.certificate(f"{one}.pem")) == [one, f"*.{one}"]
    again = shell.run("getcert", "--from-file", "-", "--json", stdin=f"{one}\n{two}\n")
    assert [each["status"] for each in again.json] == ["skipped", "skipped"]
    assert f"{alien}.key" not in shell.files()


def test_names_of_files_do_not_go_with_a_file_of_hostnames(shell):
    shell.write("sets", "a.shop.test\n")
    assert "--key-out" in shell.run("getcert", "--from-file", "sets", "--key-out", "k", status=USAGE).err


# The hook


HOOK_LINE = 'printf "%s\\n" "$ORIGINCA_CERTIFICATE" "$ORIGINCA_KEY" "$ORIGINCA_NAME" "$ORIGINCA_ID" > seen; env > env'


def test_the_hook_runs_after_the_files_are_there_and_sees_no_credentials(sandbox, shell):
    name = sandbox.name()
    told = shell.run("getcert", name, "--reload-hook", f"test -s {name}.pem && test -s {name}.key && {HOOK_LINE}",
                     "--json", CF_API_KEY=sandbox["API_KEY"]).json
    assert shell.path("seen").read_text().splitlines() == [
        str(shell.path(f"{name}.pem")), str(shell.path(f"{name}.key")), name, told["id"]]
    assert told["hook"] == "done"
    environment = shell.path("env").read_text()
    assert sandbox["API_KEY"] not in environment and sandbox["API_TOKEN"] not in environment


def test_a_failing_hook_keeps_the_certificate_and_is_tried_again_by_renew(sandbox, shell):
    name = sandbox.name()
    shell.run("getcert", name, "--reload-hook", "test -e ready", status=HOOK)
    serial = shell.certificate(f"{name}.pem").serial_number
    assert shell.run("renew", name, "--json", status=HOOK).json[0]["action"] == "hook-failed"
    shell.write("ready", "")
    assert shell.run("renew", name, "--json").json[0]["action"] == "hook-done"
    assert shell.run("renew", name, "--json").json[0]["action"] == "not-due"
    assert shell.certificate(f"{name}.pem").serial_number == serial


# renew


def test_a_fresh_certificate_is_not_due_and_force_makes_a_new_key(sandbox, shell):
    name = sandbox.name()
    shell.run("getcert", name, "--days", 90, "--reload-hook", "echo x >> hooks")
    old = shell.certificate(f"{name}.pem")
    known = shell.known(name)
    assert known["window_start"] <= known["renew_at"] <= known["window_end"] < known["not_after"]
    assert shell.run("renew", "--all", "--json").json[0]["action"] == "not-due"
    assert shell.run("renew", name, "--force", "--dry-run", "--json").json[0]["action"] == "would-renew"
    assert shell.certificate(f"{name}.pem") == old
    assert shell.run("renew", name, "--force", "--json").json[0]["action"] == "renewed"
    new = shell.certificate(f"{name}.pem")
    assert spki(new.public_key()) == spki(shell.key(f"{name}.key")) != spki(old.public_key())
    assert names_of(new) == names_of(old) and (new.not_valid_after - new.not_valid_before).days == 90
    assert mode(shell.path(f"{name}.key")) == 0o600
    assert shell.path("hooks").read_text() == "x\nx\n"


def test_reuse_key_keeps_the_key(sandbox, shell):
    name = sandbox.name()
    shell.run("getcert", name)
    key = shell.path(f"{name}.key").read_bytes()
    shell.run("renew", name, "--force", "--reuse-key")
    assert shell.path(f"{name}.key").read_bytes() == key


@pytest.mark.parametrize("has_renewal_information", [True, False])
def test_a_revoked_certificate_is_renewed_at_once(sandbox, shell, recorder, has_renewal_information):
    name = sandbox.name()
    if not has_renewal_information:
        recorder.answer("GET", "/acme/renewal-info/", *[(404, {}, b"{}")] * 5)
    shell.run("getcert", name, **recorder.environment)
    old = shell.certificate(f"{name}.pem")
    shell.run("revoke", "--yes", "--certificate", f"{name}.pem")
    told = shell.run("renew", "--all", "--json", **recorder.environment).json[0]
    assert told["action"] == "renewed"
    assert told["reason"] == ("the server wants it replaced" if has_renewal_information else "revoked")
    assert shell.certificate(f"{name}.pem").serial_number != old.serial_number


def test_without_renewal_information_the_window_of_the_state_file_decides(sandbox, shell, recorder):
    name = sandbox.name()
    recorder.answer("GET", "/acme/renewal-info/", *[(404, {}, b"")] * 9)
    shell.run("getcert", name, **recorder.environment)
    assert shell.run("renew", name, "--json", **recorder.environment).json[0]["action"] == "not-due"
    shell.remember(name, renew_at="2026-01-01T00:00:00Z")
    assert shell.run("renew", name, "--json", **recorder.environment).json[0]["reason"] == "its time has come"
    assert shell.known(name)["renew_at"] > "2026-12"


def test_the_servers_window_wins_over_the_state_file(sandbox, shell, recorder):
    name = sandbox.name()
    shell.run("getcert", name, **recorder.environment)
    window = {"suggestedWindow": {"start": "2020-01-01T00:00:00Z", "end": "2020-01-02T00:00:00Z"}}
    recorder.answer("GET", "/acme/renewal-info/", (200, {}, json.dumps(window).encode()))
    assert shell.run("renew", name, "--json", **recorder.environment).json[0]["action"] == "renewed"


def test_a_file_that_is_gone_is_made_again(sandbox, shell):
    name = sandbox.name()
    shell.run("getcert", name)
    shell.path(f"{name}.key").unlink()
    assert shell.run("renew", "--all", "--json").json[0]["reason"] == "a file is gone"
    assert spki(shell.key(f"{name}.key")) == spki(shell.certificate(f"{name}.pem").public_key())


def test_a_renewal_that_is_refused_changes_nothing_and_the_others_are_renewed(sandbox, shell, recorder):
    first, second = sorted([sandbox.name(), sandbox.name()])
    shell.run("getcert", first, **recorder.environment)
    shell.run("getcert", second, **recorder.environment)
    before = {name: shell.path(name).read_bytes() for name in (f"{first}.key", f"{first}.pem")}
    refusal = json.dumps({"success": False, "errors": [{"code": 1201, "message": "no"}]}).encode()
    recorder.answer("POST", "/client/v4/certificates", (400, {}, refusal))
    told = shell.run("renew", "--all", "--force", "--json", status=REFUSED, **recorder.environment).json
    assert [(each["name"], each["action"]) for each in told] == [(first, "failed"), (second, "renewed")]
    assert before == {name: shell.path(name).read_bytes() for name in before}


def test_renew_all_goes_through_hundreds_of_certificates(sandbox, shell):
    name = sandbox.name()
    shell.run("getcert", name)
    for number in range(300):
        (shell.state / f"copy{number}.json").write_text(json.dumps({**shell.known(name), "name": f"copy{number}"}))
    told = shell.run("renew", "--all", "--json").json
    assert [each["action"] for each in told] == ["not-due"] * 301


def test_two_renewals_at_a_time_do_not_happen(sandbox, shell):
    shell.run("getcert", sandbox.name())
    with open(shell.state / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "another" in shell.run("renew", "--all", status=FILES).err
    shell.run("renew", "--all")


def test_the_state_holds_no_secret_and_only_its_owner_reads_it(sandbox, shell):
    name = sandbox.name()
    shell.run("getcert", name, umask=0)
    text = (shell.state / f"{name}.json").read_text()
    assert sandbox["API_TOKEN"] not in text and "PRIVATE" not in text
    assert (mode(shell.state / f"{name}.json"), mode(shell.state)) == (0o600, 0o700)


def test_renew_needs_to_be_told_which_and_says_what_it_does_not_know(shell):
    assert "--all" in shell.run("renew", status=USAGE).err
    assert "nothing is known" in shell.run("renew", "nobody", status=REFUSED).err
    assert shell.run("renew", "--all", "--json").json == []


def test_a_second_certificate_of_the_same_name_does_not_take_the_first_ones_place(sandbox, shell):
    name = sandbox.name()
    shell.run("getcert", name)
    os.mkdir(shell.path("other"))
    assert "--name" in shell.run("getcert", name, "--out-dir", "other", status=FILES).err
    shell.run("getcert", name, "--out-dir", "other", "--name", "second")
    assert [each["name"] for each in shell.run("renew", "--all", "--json").json] == ["second", name]


# list, show, revoke


def test_list_show_and_revoke_follow_a_certificate_through_its_life(sandbox, shell):
    name = sandbox.name()
    identity = shell.run("getcert", name, "--days", 30, "--json").json["id"]

    def listed(*arguments):
        return {each["id"]: each for each in shell.run("list", "--json", *arguments).json}

    assert listed()[identity]["status"] == "valid"
    assert listed("--zone", sandbox["ZONE"])[identity]["hostnames"] == [name]
    assert identity in listed("--zone", sandbox["ZONE_ID"])
    assert identity not in listed("--zone", sandbox["ZONE_B"])
    assert identity not in listed("--missing-revocation")
    assert identity in shell.run("list").out
    assert shell.run("show", identity, "--json").json["requested_validity"] == 30
    assert "30 days" in shell.run("show", "--certificate", f"{name}.pem").out
    assert shell.run("revoke", identity, status=USAGE).err.count("--yes") == 1
    assert shell.run("revoke", identity, "--yes", "--json").json["id"] == identity
    assert listed()[identity]["status"] == "revoked"
    assert "revoked" in shell.run("show", identity).out
    assert "already" in shell.run("revoke", identity, "--yes").out


def test_revoke_takes_a_reason_and_show_tells_it(sandbox, shell):
    identity = shell.run("getcert", sandbox.name(), "--json").json["id"]
    assert "keyCompromise" in shell.run("revoke", identity, "--yes", "--reason", "bored", status=USAGE).err
    by_openssl = f"serial={int(identity):032X}"
    assert f"Revoked {identity} as superseded" in shell.run("revoke", by_openssl, "--yes", "--reason", "4").out
    assert "0x0a1b" in shell.run("show", "shop", status=USAGE).err
    shown = shell.run("show", by_openssl).out
    assert re.search(r"^reason +superseded$", shown, re.MULTILINE), shown
    assert re.search(r"^revoked by +api-key:\w+$", shown, re.MULTILINE) and re.search(r"^OCSP ", shown, re.MULTILINE), shown
    assert wait_until(lambda: re.search(r"^in the list +yes", shell.run("show", identity).out, re.MULTILINE), 30)
    by = sandbox.admin_command("cert", "show", identity).stdout
    assert re.search(r"^revoked by +api-key:", by, re.MULTILINE), by


def test_list_reads_every_page_once(sandbox, shell, recorder):
    pages = [[{"id": str(page * 1000 + n), "hostnames": ["a.test"], "certificate": ""} for n in range(100)]
             for page in range(2)] + [[{"id": "7777", "hostnames": [], "certificate": ""}], []]
    recorder.answer("GET", "/client/v4/certificates", *[
        (200, {}, json.dumps({"success": True, "errors": [], "result": page}).encode()) for page in pages])
    told = shell.run("list", "--zone", sandbox["ZONE_ID"], "--json", **recorder.environment).json
    assert len({each["id"] for each in told}) == len(told) == 201
    assert [re.search(r"page=(\d)", each["path"])[1] for each in recorder.sent("GET")] == ["1", "2", "3", "4"]


def test_what_is_not_there_is_refused_with_the_servers_code(sandbox, shell):
    assert "code 1101" in shell.run("show", "12345", status=REFUSED).err
    assert "no zone" in shell.run("list", "--zone", "nowhere.test", status=REFUSED).err


# Credentials and settings


def test_each_kind_of_credential_goes_into_its_header_and_alone(sandbox, shell, recorder):
    key, token = sandbox["API_KEY"], sandbox["API_TOKEN"]
    shell.write("token", token + "\n")
    names = ("authorization", "x-auth-user-service-key", "x-auth-key", "x-auth-email")
    cases = [({"CF_API_KEY": key}, [], {"x-auth-user-service-key": key}),
             ({"CF_API_TOKEN": token}, [], {"authorization": f"Bearer {token}"}),
             ({"CF_API_KEY": "abc", "CF_API_EMAIL": "a@b.test"}, [], {"x-auth-key": "abc", "x-auth-email": "a@b.test"}),
             ({"CF_API_KEY": key, "ORIGINCA_API_TOKEN": token}, [], {"authorization": f"Bearer {token}"}),
             ({"CF_API_KEY": key}, ["--api-token-file", "token"], {"authorization": f"Bearer {token}"}),
             ({"CF_API_TOKEN": token + "\n"}, [], {"authorization": f"Bearer {token}"}),
             ({"CF_API_TOKEN": token}, ["--service-key", key], {"x-auth-user-service-key": key})]
    for environment, flags, expected in cases:
        shell.run("show", "1", *flags, status=REFUSED, **{"CF_API_TOKEN": None, **environment}, **recorder.environment)
        sent = recorder.requests[-1]["headers"]
        assert {name: sent[name] for name in names if name in sent} == expected


def test_flags_win_over_the_environment_and_that_over_the_file(sandbox, shell, recorder):
    config = shell.home / ".config/originca/config"
    config.parent.mkdir(parents=True)
    config.write_text(f'api_url = "{recorder.url}"\nca_file = "{recorder.certificate}"\n'
                      f'api_token = "{sandbox["API_TOKEN"]}"\ndays = "90"\nkey_type = "rsa"\n')
    config.chmod(0o600)
    nothing = {"ORIGINCA_API_URL": None, "ORIGINCA_CA_FILE": None, "CF_API_TOKEN": None}

    def posted(*flags, **environment):
        shell.run("getcert", sandbox.name(), "--no-state", *flags, **nothing, **environment)
        body = json.loads(recorder.sent("POST")[-1]["body"])
        return body["requested_validity"], body["request_type"]

    assert posted() == (90, "origin-rsa")
    assert posted(ORIGINCA_DAYS="30") == (30, "origin-rsa")
    assert posted("-days=7", "--key-type", "ecdsa", ORIGINCA_DAYS="30") == (7, "origin-ecc")
    config.chmod(0o644)
    assert "chmod 600" in shell.run("show", "1", status=REFUSED, **nothing).err
    config.write_text('days = "90"\nnonsense = 1\n')
    assert "config, line 2" in shell.run("show", "1", status=USAGE, **nothing).err


def test_what_is_missing_is_named(shell):
    assert "ORIGINCA_API_URL" in shell.run("list", status=USAGE, ORIGINCA_API_URL=None).err
    assert "CF_API_KEY" in shell.run("list", status=USAGE, CF_API_TOKEN=None).err
    assert "https" in shell.run("list", "--api-url", "http://ca.example.net/client/v4", status=USAGE).err
    assert "CF_API_EMAIL" in shell.run("list", status=USAGE, CF_API_TOKEN=None, CF_API_KEY="abc").err


def test_a_server_that_is_not_there_or_not_trusted_gets_nothing(sandbox, shell, recorder):
    assert "cannot reach" in shell.run("list", "--api-url", "https://localhost:1", status=NO_SERVER).err
    shell.run("list", "--api-url", recorder.url, status=NO_SERVER)
    assert recorder.requests == []
    assert "10000" in shell.run("list", status=REFUSED, CF_API_TOKEN="x" * 40).err


# Over the wire


@pytest.mark.parametrize("kind", ["rsa", "ecdsa"])
def test_no_byte_of_the_private_key_is_sent(sandbox, shell, recorder, kind):
    name = sandbox.name()
    shell.run("getcert", name, "--key-type", kind, **recorder.environment)
    shell.run("renew", name, "--force", "--reuse-key", **recorder.environment)
    key, traffic = shell.key(f"{name}.key"), recorder.traffic()
    assert len(recorder.sent("POST")) == 2

    def is_sent(number):
        return any(spelling in traffic for spelling in spellings(number))

    # The search finds what is there, the public half, in each form it looks for.
    assert spki(key) in traffic and is_sent(spki(key)[-60:])
    assert not any(is_sent(secret) for secret in private_numbers(key)) and b"PRIVATE" not in traffic


def test_debug_requests_shows_bodies_and_hides_credentials(sandbox, shell):
    shown = shell.run("getcert", sandbox.name(), "--debug-requests").err
    assert "> POST https://" in shown and "-----BEGIN CERTIFICATE REQUEST" in shown and "< 200" in shown
    assert sandbox["API_TOKEN"] not in shown and "PRIVATE KEY" not in shown


def test_a_post_is_repeated_only_when_the_server_did_nothing(sandbox, shell, recorder):
    recorder.answer("POST", "/client/v4/certificates", (429, {"Retry-After": "1"}, b"{}"))
    shell.run("getcert", sandbox.name(), **recorder.environment)
    assert len(recorder.sent("POST")) == 2
    recorder.answer("POST", "/client/v4/certificates", (500, {}, b"oops"))
    assert "HTTP 500" in shell.run("getcert", sandbox.name(), status=REFUSED, **recorder.environment).err
    assert len(recorder.sent("POST")) == 3
    recorder.answer("GET", "/client/v4/certificates", (502, {}, b""), (502, {}, b""))
    assert "code 1101" in shell.run("show", "1", status=REFUSED, **recorder.environment).err
    assert len(recorder.sent("GET")) == 3


def test_an_answer_that_is_no_envelope_is_an_error_not_a_crash(sandbox, shell, recorder):
    for status, body in [(200, b""), (200, b"{}"), (200, b"[]"), (200, b'{"success":true}'), (404, b"<html>"),
                         (200, b'{"success":false,"errors":[]}'), (200, b'{"success":true,"result":{"certificate":1}}'),
                         (400, b'{"success":false,"errors":[{"code":"x","message":7}]}'), (200, b"{" * 5000)]:
        recorder.answer("POST", "/client/v4/certificates", (status, {}, body))
        shell.run("getcert", sandbox.name(), status=REFUSED, **recorder.environment)
    assert shell.files() == []


# cfca (seed 003)


@pytest.fixture
def cfca(shell, sandbox):
    link = shell.directory.parent / "cfca"
    link.symlink_to(shell.program)
    return lambda *arguments, **options: shell.run(*arguments, program=link, CF_API_TOKEN=None,
                                                   CF_API_KEY=sandbox["API_KEY"], **options)


STAMP = r"^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[INFO\] "


def log_lines(text):
    assert all(re.match(STAMP, line) for line in text.splitlines()), text
    return [re.sub(STAMP, "", line) for line in text.splitlines()]


def test_cfca_with_defaults_writes_rsa_for_15_years_and_the_log_of_old(sandbox, shell, cfca):
    name = sandbox.name()
    done = cfca("getcert", "-hostnames", f"{name},*.{name}")
    assert done.out == ""
    assert log_lines(done.err) == [
        "generate received request", "received CSR", "generating key: rsa-2048", "encoded CSR",
        f"Connecting to {sandbox['API_URL']}/certificates", f"Successfully issued certificate for: {name},*.{name}",
        f"Saved generated private key to {name}.key", f"Saved issued certificate to {name}.pem"]
    certificate = shell.certificate(f"{name}.pem")
    assert certificate.public_key().key_size == 2048
    assert (certificate.not_valid_after - certificate.not_valid_before).days == 5475
    assert shell.path(f"{name}.key").read_text().startswith("-----BEGIN RSA PRIVATE KEY-----")
    assert not shell.state.exists()


def test_cfca_takes_the_flags_of_the_second_example(sandbox, shell, cfca):
    one, two = sandbox.name(sandbox["ZONE"]), sandbox.name(sandbox["ZONE_B"])
    done = cfca("getcert", "-days", "7", "-hostnames", f"*.{one},*.{two}", "-key-type", "ecdsa", "-key-size", "256",
                "-key-out", "k", "-certificate-out=c")
    assert "generating key: ecdsa-256" in log_lines(done.err)
    assert names_of(shell.certificate("c")) == [f"*.{one}", f"*.{two}"]
    assert "exists" in cfca("getcert", "-hostnames", f"*.{one}", "-key-out", "k", "-certificate-out", "c",
                            status=FILES).err
    cfca("getcert", "-hostnames", f"*.{one}", "-key-out", "k", "-certificate-out", "c", "-overwrite")
    assert shell.path("k").read_text().startswith("-----BEGIN RSA PRIVATE KEY-----")


# In a terminal


GREEN = "\x1b[32m"


def test_colours_are_for_terminals_without_no_color(sandbox, shell):
    assert GREEN in shell.terminal("getcert", sandbox.name()).out
    assert "\x1b[" not in shell.terminal("getcert", sandbox.name(), NO_COLOR="1").out
    assert "\x1b[" not in shell.run("getcert", sandbox.name()).out


def test_many_certificates_show_a_bar_on_a_terminal_and_none_in_a_pipe(sandbox, shell):
    names = [sandbox.name() for _ in range(3)]
    shell.write("sets", "\n".join(names))
    shown = shell.terminal("getcert", "--from-file", "sets").out
    assert [f"] {n}/3 {name}" in shown for n, name in enumerate(names)] == [True] * 3
    assert "##########" in shown and shown.count("issued ") == 3
    assert "[##" not in shell.run("getcert", "--from-file", "sets", "--overwrite").err


def test_revoke_asks_on_a_terminal(sandbox, shell):
    name = sandbox.name()
    shell.run("getcert", name)
    assert "not revoked" in shell.terminal("revoke", "--certificate", f"{name}.pem", typed="n\n", status=REFUSED).out
    assert "Revoked" in shell.terminal("revoke", "--certificate", f"{name}.pem", typed="y\n").out
    assert wait_until(lambda: "revoked" in shell.run("show", "--certificate", f"{name}.pem").out, 5)
