"""RFC 8555: what every request has in common: the directory, nonces, methods, paths, and resources of other accounts."""

import hashlib
import hmac as hmac_module
import re
import secrets
import struct
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from acme_kit import shared, stranger, other_account, issued  # noqa: F401: fixtures
from acme_kit import MALFORMED, is_spent, read_account, refused, same_words
from acme_raw import b64, compact, make_csr, make_jws, make_key, unb64
from under_test import run

SANDBOX_OPTIONS = ("--workers", "4")


# --- directory and nonces (7.1.1, 7.2) ---

def test_the_directory_lists_each_resource_and_the_profiles(sandbox, shared):
    reply = shared.request("GET", sandbox["DIRECTORY_URL"]).expect(200)
    directory = reply.json
    assert reply.headers.get_content_type() == "application/json"
    base = sandbox["DIRECTORY_URL"].removesuffix("/acme/directory")
    for name in ("newNonce", "newAccount", "newOrder", "revokeCert", "keyChange", "renewalInfo"):
        assert directory[name].startswith(f"{base}/acme/") and not directory[name].endswith("/")
    assert directory["meta"]["externalAccountRequired"] is True
    assert set(directory["meta"]["profiles"]) >= {"origin", "compact", "classic"}
    assert all(isinstance(text, str) and text for text in directory["meta"]["profiles"].values())
    assert "newAuthz" not in directory


@pytest.mark.parametrize("method, status", [("HEAD", 200), ("GET", 204)])
def test_newnonce_gives_a_nonce_that_no_cache_keeps(shared, method, status):
    first = shared.request(method, shared.directory["newNonce"]).expect(status)
    second = shared.request(method, shared.directory["newNonce"]).expect(status)
    assert first.headers["Cache-Control"] == "no-store" and first.body == b""
    assert 'rel="index"' in first.headers["Link"]
    nonces = {first.headers["Replay-Nonce"], second.headers["Replay-Nonce"]}
    assert len(nonces) == 2
    for nonce in nonces:
        assert b64(unb64(nonce)) == nonce, "certbot decodes and encodes it again"
        assert not is_spent(shared, nonce)


@pytest.mark.parametrize("resource", ["newNonce", "directory"])
def test_directory_and_newnonce_can_be_read_by_post_as_get_too(sandbox, shared, resource):
    """RFC 8555 6.3: "in addition to POST-as-GET requests for these resources"."""
    url = sandbox["DIRECTORY_URL"] if resource == "directory" else shared.directory[resource]
    reply = shared.post(url)
    assert reply.status in (200, 204), reply.text
    assert reply.headers["Replay-Nonce"]
    if resource == "directory":
        assert reply.json == shared.directory
    refused(shared.post(url, {}), 400, "malformed")


def forged_nonce(sandbox, issued_at, index=7):
    """A nonce as include/originca/nonce.h describes it, of a block of its own."""
    master = bytes.fromhex((sandbox.directory / "secret").read_text().strip())
    key = hmac_module.new(master, b"nonce\0", hashlib.sha256).digest()
    body = secrets.token_bytes(12) + struct.pack(">II", index, issued_at)
    return b64(body + hmac_module.new(key, body, hashlib.sha256).digest()[:16])


def test_a_nonce_of_nearly_a_day_ago_is_accepted_and_one_of_more_is_not(sandbox, shared):
    run(["redis-cli", "-s", sandbox["REDIS_SOCKET"], "DEL", "nonces:not-before"])  # of a test before that restarted Redis
    now = int(time.time())
    read_account(shared, forged_nonce(sandbox, now - 86400 + 300)).expect(200)
    refused(read_account(shared, forged_nonce(sandbox, now - 86400 - 300)), 400, "badNonce")


@pytest.mark.parametrize("nonce", [
    pytest.param(lambda sandbox: b64(secrets.token_bytes(36)), id="of-another-server"),
    pytest.param(lambda sandbox: b64(secrets.token_bytes(16)), id="of-another-length"),
    pytest.param(lambda sandbox: b64(secrets.token_bytes(3000)), id="very-long"),
    pytest.param(lambda sandbox: forged_nonce(sandbox, int(time.time()), 65536), id="index-outside-its-block"),
    pytest.param(lambda sandbox: "A" + forged_nonce(sandbox, int(time.time()))[1:], id="changed"),
])
def test_a_nonce_that_was_not_given_out_is_bad_and_the_reply_brings_one_that_works(sandbox, shared, nonce):
    reply = read_account(shared, nonce(sandbox))
    body = refused(reply, 400, "badNonce")
    assert "JWS has an invalid anti-replay nonce" in body["detail"], "acme.sh looks for these words"
    assert not is_spent(shared, reply.headers["Replay-Nonce"])


def test_a_spent_nonce_is_bad_and_the_reply_brings_one_that_works(shared):
    nonce = shared.take_nonce()
    read_account(shared, nonce).expect(200)
    reply = read_account(shared, nonce)
    refused(reply, 400, "badNonce")
    assert not is_spent(shared, reply.headers["Replay-Nonce"])


@pytest.mark.parametrize("nonce", ["not base64url!", "AAAA=", "AB", "A", "++++", 7, ["AAAA"], {}])
def test_a_nonce_that_is_no_base64url_makes_the_jws_malformed(shared, nonce):
    """RFC 8555 6.5.2."""
    body = compact(make_jws(shared.key, shared.kid, None, None, shared.kid, {"nonce": nonce}))
    refused(shared.post_raw(shared.kid, body), 400, "malformed")


def test_a_nonce_is_spent_once_by_20_posts_across_the_workers(own_sandbox):
    """The first 12 bytes of a nonce name the worker's block, so several of them show that several workers answered."""
    client = own_sandbox.client()
    racers = [client.twin() for _ in range(20)]
    blocks = set()
    for _ in range(3):
        nonce = client.take_nonce()
        with ThreadPoolExecutor(len(racers)) as pool:
            replies = list(pool.map(lambda racer: read_account(racer, nonce), racers))
        assert sorted(reply.status for reply in replies) == [200] + [400] * 19
        assert {reply.problem for reply in replies if reply.status == 400} == {"badNonce"}
        fresh = [reply.headers["Replay-Nonce"] for reply in replies]
        assert len(set(fresh)) == 20
        blocks |= {each[:16] for each in fresh}
        assert not any(is_spent(client, each) for each in fresh), "a worker must take each other worker's nonces"
    assert len(blocks) > 1
    for racer in racers:
        racer.close()


# --- methods (6.3) ---

POST_ONLY = ["account", "orders", "order", "finalize", "authorization", "challenge", "certificate", "newAccount",
             "newOrder", "revokeCert", "keyChange"]


@pytest.mark.parametrize("resource", POST_ONLY)
def test_get_on_a_resource_that_wants_post_is_refused(shared, issued, resource):
    url = issued.get(resource) or shared.directory[resource]
    for method in ("GET", "PUT", "DELETE", "PATCH"):
        reply = shared.request(method, url)
        assert reply.status == 405 and reply.headers["Allow"] == "POST", reply.text
        assert reply.problem == "malformed" and reply.json["status"] == 405
    assert shared.request("HEAD", url).status == 405


@pytest.mark.parametrize("resource", ["orders", "order", "authorization", "certificate"])
@pytest.mark.parametrize("payload", [{}, {"x": 1}])
def test_a_payload_in_a_post_as_get_is_refused(shared, issued, resource, payload):
    nonce = shared.take_nonce()
    jws = make_jws(shared.key, issued[resource], payload, nonce, shared.kid)
    refused(shared.post_raw(issued[resource], compact(jws)), *MALFORMED)
    assert is_spent(shared, nonce)


@pytest.mark.parametrize("resource", ["newAccount", "newOrder", "revokeCert", "keyChange", "finalize"])
def test_an_empty_payload_where_one_is_needed_is_refused(sandbox, shared, issued, resource):
    client = sandbox.client(is_registered=False) if resource == "newAccount" else shared
    url = issued.get(resource) or client.directory[resource]
    refused(client.post(url, with_jwk=resource == "newAccount"), *MALFORMED)


@pytest.mark.parametrize("path", ["nothing", "order", "order/", "order/x/y", "authz/x", "account/", "cert", ""])
def test_a_path_that_does_not_exist_is_a_problem_document(sandbox, shared, path):
    url = sandbox["DIRECTORY_URL"].removesuffix("directory") + path
    refused(shared.post(url), 404, "malformed")


@pytest.mark.parametrize("with_jwk, resource", [(False, "newAccount"), (True, "newOrder"), (True, "keyChange")])
def test_each_resource_wants_its_own_one_of_jwk_and_kid(shared, with_jwk, resource):
    refused(shared.post(shared.directory[resource], {}, with_jwk=with_jwk), *MALFORMED)


# --- other accounts ---

@pytest.mark.parametrize("resource", ["order", "finalize", "authorization", "challenge", "certificate"])
@pytest.mark.parametrize("who", ["stranger", "other_account"])
def test_what_is_another_accounts_looks_as_if_it_did_not_exist(request, issued, resource, who):
    client = request.getfixturevalue(who)
    url = issued[resource]
    identifier = re.search(r"/(?:order|finalize|authz|chall|cert)/([^/]+)", url).group(1)
    absent = url.replace(identifier, secrets.token_hex(len(identifier) // 2)[:len(identifier)])
    payload = {"csr": b64(make_csr(make_key("p256"), issued["names"]))} if resource == "finalize" else None
    reply = client.post(url, payload)
    refused(reply, 404, "malformed")
    assert same_words(reply, client.post(absent, payload))
    if resource in ("authorization", "challenge"):
        reply = client.post(url, {"status": "deactivated"} if resource == "authorization" else {})
        refused(reply, 404, "malformed")


@pytest.mark.parametrize("resource", ["order", "finalize", "authorization", "certificate"])
@pytest.mark.parametrize("identifier", ["x", "..%20", "*", "a" * 3000, "%C3%A9", "'"])
def test_odd_ids_are_not_found(shared, issued, resource, identifier):
    was = re.search(r"/(?:order|finalize|authz|cert)/([^/]+)", issued[resource]).group(1)
    payload = {"csr": "AAAA"} if resource == "finalize" else None
    refused(shared.post(issued[resource].replace(was, identifier), payload), 404, "malformed")
