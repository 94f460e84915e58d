"""RFC 9773: the renewal window, and replacements."""

import datetime
import secrets
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography import x509

from acme_kit import shared, other_account, issued  # noqa: F401: fixtures
from acme_kit import MALFORMED, issue_leaf, non_canonical, refused
from acme_raw import b64, certificate_id, make_csr, make_key, unb64
from verify import der_of, load_chain


def renewal_info(client, identifier):
    return client.request("GET", f"{client.directory['renewalInfo']}/{identifier}")


def window_of(reply):
    window = reply.json["suggestedWindow"]
    return tuple(datetime.datetime.strptime(window[name], "%Y-%m-%dT%H:%M:%SZ") for name in ("start", "end"))


def test_the_renewal_window_lies_in_the_last_third_and_says_when_to_ask_again(shared, issued):
    leaf = issued["leaf"]
    reply = renewal_info(shared, certificate_id(leaf)).expect(200)
    start, end = window_of(reply)
    lifetime = leaf.not_valid_after - leaf.not_valid_before
    assert leaf.not_valid_after - lifetime / 3 <= start < end < leaf.not_valid_after
    assert 60 <= int(reply.headers["Retry-After"]) <= 864000
    assert reply.headers.get_content_type() == "application/json"
    assert renewal_info(shared, certificate_id(leaf)).json == reply.json
    key, serial = certificate_id(leaf).split(".")
    assert renewal_info(shared, f"{key}.{b64(bytes(1) + unb64(serial))}").expect(200).json == reply.json


def test_a_revoked_certificate_is_to_be_renewed_at_once(sandbox, shared):
    _, leaf = issue_leaf(sandbox, shared)
    shared.revoke(der_of(leaf)).expect(200)
    start, end = window_of(renewal_info(shared, certificate_id(leaf)).expect(200))
    assert start < end <= datetime.datetime.utcnow()


def rsa_key_id(sandbox):
    issuer = x509.load_pem_x509_certificate(Path(sandbox["ISSUER_RSA"]).read_bytes())
    return b64(issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest)


BAD_IDS = {
    "text": (lambda k, s, b: "x", 400), "no-dot": (lambda k, s, b: k + s, 400), "dots": (lambda k, s, b: "...", 400),
    "no-serial": (lambda k, s, b: k + ".", 400), "no-key": (lambda k, s, b: "." + s, 400),
    "three-parts": (lambda k, s, b: f"{k}.{s}.{s}", 400), "padded": (lambda k, s, b: f"{k}=.{s}==", 400),
    "not-canonical": (lambda k, s, b: f"{k}.{non_canonical(s)}", 400),
    "base64-letters": (lambda k, s, b: "++++." + s, 400), "not-ascii": (lambda k, s, b: f"%C3%A9.{s}", 400),
    "serial-of-21-bytes": (lambda k, s, b: f"{k}.{b64(bytes([1] * 21))}", 400),
    "very-long": (lambda k, s, b: "A" * 4000 + "." + "A" * 4000, 400),
    "unknown-serial": (lambda k, s, b: f"{k}.{b64(bytes([1] * 16))}", 404),
    "short-serial": (lambda k, s, b: f"{k}.{b64(bytes([1] * 8))}", 404),
    "unknown-issuer": (lambda k, s, b: f"{b64(secrets.token_bytes(20))}.{s}", 404),
    "another-issuer-of-ours": (lambda k, s, b: f"{rsa_key_id(b)}.{s}", 404),
}


@pytest.mark.parametrize("case", BAD_IDS)
def test_a_bad_certificate_id_is_refused(sandbox, shared, issued, case):
    build, status = BAD_IDS[case]
    key, serial = certificate_id(issued["leaf"]).split(".")
    reply = renewal_info(shared, build(key, serial, sandbox))
    assert (reply.status, reply.problem) == (status, "malformed"), reply.text
    assert reply.json["status"] == status and reply.json["detail"]


def test_a_replacement_is_marked_and_happens_once(sandbox, shared):
    names = [sandbox.name()]
    _, leaf = issue_leaf(sandbox, shared, names)
    identifier = certificate_id(leaf)
    created = shared.new_order(names, replaces=identifier).expect(201)
    assert created.json["replaces"] == identifier
    refused(shared.new_order([*names, sandbox.name()], replaces=identifier), 409, "alreadyReplaced")
    shared.post(created.json["authorizations"][0], {"status": "deactivated"}).expect(200)
    second = shared.new_order(names, replaces=identifier).expect(201)
    key = make_key("p256")
    done = shared.finalize(second.json, make_csr(key, names)).expect(200).json
    assert done["replaces"] == identifier
    refused(shared.new_order(names, replaces=identifier), 409, "alreadyReplaced")
    successor = load_chain(shared.post(done["certificate"]).text)[0]
    shared.new_order(names, replaces=certificate_id(successor)).expect(201)


def test_a_client_that_lost_its_replacing_order_is_given_it_again(sandbox, shared):
    names = [sandbox.name(), sandbox.name()]
    _, leaf = issue_leaf(sandbox, shared, names)
    replaces = certificate_id(leaf)
    first, again = (shared.new_order(names, replaces=replaces).expect(201) for _ in range(2))
    assert (again.headers["Location"], again.json) == (first.headers["Location"], first.json)
    refused(shared.new_order(names, replaces=replaces, profile="classic"), 409, "alreadyReplaced")
    csr = make_csr(make_key("p256"), names)
    assert shared.finalize(again.json, csr).expect(200).json["status"] == "valid"
    refused(shared.new_order(names, replaces=replaces), 409, "alreadyReplaced")


def test_an_order_that_replaces_nothing_is_a_new_one_each_time(sandbox, shared):
    name = sandbox.name()
    locations = {shared.new_order([name]).expect(201).headers["Location"] for _ in range(2)}
    assert len(locations) == 2


def test_parallel_requests_for_one_replacement_share_an_order(sandbox, shared):
    names = [sandbox.name()]
    _, leaf = issue_leaf(sandbox, shared, names)
    racers = [shared.twin() for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda racer: racer.new_order(names, replaces=certificate_id(leaf)), racers))
    assert {reply.status for reply in replies} == {201}
    assert len({reply.headers["Location"] for reply in replies}) == 1
    for racer in racers:
        racer.close()


def test_of_parallel_replacements_one_wins(sandbox, shared):
    names = [sandbox.name()]
    _, leaf = issue_leaf(sandbox, shared, names)
    racers, others = [shared.twin() for _ in range(8)], [sandbox.name() for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda racer, other: racer.new_order([*names, other], replaces=certificate_id(leaf)),
                                racers, others))
    assert sorted(reply.status for reply in replies) == [201] + [409] * 7
    for racer in racers:
        racer.close()


def test_a_replacement_needs_a_certificate_of_the_account_with_a_name_in_common(sandbox, shared, other_account, issued):
    identifier = certificate_id(issued["leaf"])
    key_id, serial = identifier.split(".")
    refused(other_account.new_order(issued["names"], replaces=identifier), 403, "unauthorized")
    for bad in ("x", "", f"{key_id}.{b64(bytes([1] * 16))}", f"{b64(secrets.token_bytes(20))}.{serial}",
                f"{rsa_key_id(sandbox)}.{serial}", identifier + "="):
        refused(shared.new_order(issued["names"], replaces=bad), *MALFORMED)
    refused(shared.new_order(issued["names"], replaces=7), *MALFORMED)
    refused(shared.new_order([sandbox.name()], replaces=identifier), *MALFORMED)
    created = shared.new_order([sandbox.name(), issued["names"][0].upper()], replaces=identifier).expect(201)
    shared.post(created.json["authorizations"][0], {"status": "deactivated"}).expect(200)
