"""Without external accounts (`--no-eab`): anybody registers, dns-01 proves the account, and the DNS check must hold as well."""

import hashlib
import time

import pytest

from acme_raw import AcmeClient, b64, certificate_id, make_csr, make_key
from under_test import run, wait_until
from verify import der_of, load_chain

from box import Sandbox

SANDBOX_OPTIONS = ("--no-eab", "--set", "dns.dns_share_ms=0")


@pytest.fixture
def client(own_sandbox):
    client = AcmeClient(own_sandbox["DIRECTORY_URL"], own_sandbox["CA_BUNDLE"])
    reply = client.post(client.directory["newAccount"], {"termsOfServiceAgreed": True}, with_jwk=True).expect(201)
    client.kid = reply.headers["Location"]
    yield client
    client.close()


def challenge_of(client, order, at=0):
    authorization = client.post(order["authorizations"][at]).expect(200).json
    return authorization, next(each for each in authorization["challenges"] if each["type"] == "dns-01")


def text_for(client, challenge):
    return b64(hashlib.sha256(f"{challenge['token']}.{client.key.thumbprint}".encode()).digest())


def settle(client, url):
    """The authorization when it is no longer pending."""
    answer = {}

    def is_over():
        answer.update(client.post(url).expect(200).json)
        return answer["status"] != "pending"

    assert wait_until(is_over, 30, pause=0.3), answer
    return answer


def test_the_directory_says_so(own_sandbox):
    client = AcmeClient(own_sandbox["DIRECTORY_URL"], own_sandbox["CA_BUNDLE"])
    assert client.directory["meta"].get("externalAccountRequired", False) is False


@pytest.mark.parametrize("prefix", ["www.", "*.", ""])
def test_text_and_dns_together_prove_a_name(own_sandbox, client, prefix):
    zone = own_sandbox.new_zone()
    name = f"{prefix}{zone}"
    order = client.new_order([name]).expect(201).json
    assert order["status"] == "pending"
    authorization, challenge = challenge_of(client, order)
    assert authorization["status"] == "pending" and challenge["status"] == "pending"
    if prefix == "www.":  # the text below it makes it a name of its own, which no DNS wildcard covers
        own_sandbox.dns("proxy", name)
    own_sandbox.dns("add-txt", f"_acme-challenge.{name.removeprefix('*.')}", text_for(client, challenge))
    client.post(challenge["url"], {}).expect(200)
    assert settle(client, order["authorizations"][0])["status"] == "valid"
    done = client.finalize(order, make_csr(make_key("p256"), [name])).expect(200).json
    assert done["status"] == "valid"
    # An order to replace it that the client has lost is given to it again, pending as it is.
    replaces = certificate_id(load_chain(client.post(done["certificate"]).text)[0])
    first, again = (client.new_order([name], replaces=replaces).expect(201) for _ in range(2))
    assert again.headers["Location"] == first.headers["Location"] and again.json == first.json


def refused(own_sandbox, client, name, text=None):
    """The problem of a challenge that does not hold."""
    order = client.new_order([name]).expect(201).json
    _, challenge = challenge_of(client, order)
    if text:
        own_sandbox.dns("add-txt", f"_acme-challenge.{name}", text(client, challenge))
    client.post(challenge["url"], {}).expect(200)
    authorization = settle(client, order["authorizations"][0])
    assert authorization["status"] == "invalid", authorization
    reply = client.finalize(order, make_csr(make_key("p256"), [name]))
    assert reply.status == 403, reply.text
    return next(each["error"] for each in authorization["challenges"] if each.get("error"))


def test_keyCompromise_without_proof_blocks_the_key_for_the_account_alone(own_sandbox, client):
    zone, key, orders, challenges = own_sandbox.new_zone(), make_key("p256"), [], []
    tree = Sandbox(own_sandbox.directory).tree
    for name in (f"first.{zone}", f"second.{zone}"):
        orders.append((name, client.new_order([name]).expect(201).json))
        challenges.append(challenge_of(client, orders[-1][1])[1])
        tree.proxy(name)
        tree.add(f"_acme-challenge.{name}", "TXT", f'"{text_for(client, challenges[-1])}"')
    tree.commit()
    for challenge in challenges:
        assert client.post(challenge["url"], {}).expect(200).json["status"] == "valid"
    (name, order), (next_name, next_order) = orders
    done = client.finalize(order, make_csr(key, [name])).expect(200).json
    client.revoke(der_of(load_chain(client.post(done["certificate"]).text)[0]), 1).expect(200)
    reply = client.finalize(next_order, make_csr(key, [next_name]))
    assert reply.problem == "badCSR" and "compromised" in reply.text, reply.text
    customer = own_sandbox.client()
    own = customer.new_order([f"own.{zone}"]).expect(201).json
    assert customer.finalize(own, make_csr(key, [f"own.{zone}"])).expect(200).json["status"] == "valid"
    customer.close()


def test_without_text_nothing_is_proven(own_sandbox, client):
    error = refused(own_sandbox, client, f"www.{own_sandbox.new_zone()}")
    assert "TXT" in error["detail"], error


def test_another_accounts_text_proves_nothing(own_sandbox, client):
    stranger = AcmeClient(own_sandbox["DIRECTORY_URL"], own_sandbox["CA_BUNDLE"])
    name = f"www.{own_sandbox.new_zone()}"
    own_sandbox.dns("proxy", name)
    error = refused(own_sandbox, client, name, lambda _, challenge: text_for(stranger, challenge))
    assert "TXT" in error["detail"], error


def test_text_does_not_help_a_gray_name(own_sandbox, client):
    zone = own_sandbox.new_zone()
    own_sandbox.dns("gray", f"www.{zone}")
    error = refused(own_sandbox, client, f"www.{zone}", text_for)
    assert "198.51.100.20" in error["detail"], error


def test_text_does_not_help_a_zone_that_is_delegated_elsewhere(own_sandbox, client):
    zone = own_sandbox.new_zone()
    order = client.new_order([f"www.{zone}"]).expect(201).json
    _, challenge = challenge_of(client, order)
    own_sandbox.dns("add-txt", f"_acme-challenge.www.{zone}", text_for(client, challenge))
    own_sandbox.dns("undelegate", zone)
    client.post(challenge["url"], {}).expect(200)
    assert settle(client, order["authorizations"][0])["status"] == "invalid"


def test_a_name_on_no_zone_is_rejected(own_sandbox, client):
    assert client.new_order([f"www.nobodys-{time.monotonic_ns()}.test"]).problem == "rejectedIdentifier"


def test_a_name_before_which_the_records_label_does_not_fit_is_rejected(own_sandbox, client):
    zone = own_sandbox.new_zone()
    fits = ".".join(["a" * 50] * 4 + ["b" * (237 - 4 * 51 - len(zone) - 1), zone])
    reply = client.new_order([fits.replace("b.", "bb.")])
    assert reply.problem == "rejectedIdentifier" and "at most 237" in reply.text, reply.text
    assert client.new_order([fits]).status == 201


def test_finalize_before_the_proof_is_not_ready(own_sandbox, client):
    name = f"www.{own_sandbox.new_zone()}"
    order = client.new_order([name]).expect(201).json
    assert client.finalize(order, make_csr(make_key("p256"), [name])).problem == "orderNotReady"
    assert own_sandbox.certificates(name.removeprefix("www.")) == []


def test_under_a_stop_a_challenge_asks_nothing_of_dns_and_stays_pending(own_sandbox, client):
    name = f"www.{own_sandbox.new_zone()}"
    order = client.new_order([name]).expect(201).json
    _, challenge = challenge_of(client, order)
    own_sandbox.dns("proxy", name)
    own_sandbox.dns("add-txt", f"_acme-challenge.{name}", text_for(client, challenge))
    zone = name.removeprefix("www.")

    def checks():
        return own_sandbox.admin.metrics().get("originca_dns_checks_total", 0)

    for stop, allow, words in (("issuance/stop", "issuance/allow", "stopped for everybody"),
                               (f"zones/{zone}/pause", f"zones/{zone}/resume", f"stopped for the zone {zone}")):
        own_sandbox.admin.post(stop)
        try:
            before = checks()
            told = client.post(challenge["url"], {})
            assert told.status == 503 and "Retry-After" in told.headers and words in told.json["detail"], told.text
            assert client.post(challenge["url"]).expect(200).json["status"] == "pending"
            assert client.post(order["authorizations"][0]).expect(200).json["status"] == "pending"
            assert checks() == before
        finally:
            own_sandbox.admin.post(allow)
    client.post(challenge["url"], {}).expect(200)
    assert settle(client, order["authorizations"][0])["status"] == "valid"
    client.finalize(order, make_csr(make_key("p256"), [name])).expect(200)


def test_an_old_proof_revokes_nobody_elses_certificate(own_sandbox, client):
    """The zone is the customer's: that DNS still leads there says nothing of whoever had his record in it once."""
    zone = own_sandbox.new_zone()
    name = f"www.{zone}"
    customer = own_sandbox.client()
    leaves = [load_chain(customer.issue([name])[1])[0] for _ in range(2)]
    order = client.new_order([name]).expect(201).json
    authorization, challenge = challenge_of(client, order)
    own_sandbox.dns("proxy", name)
    own_sandbox.dns("add-txt", f"_acme-challenge.{name}", text_for(client, challenge))
    client.post(challenge["url"], {}).expect(200)
    assert settle(client, order["authorizations"][0])["status"] == "valid"
    assert client.revoke(der_of(leaves[0])).status == 200, "it has just shown that the name obeys it"
    account = client.kid.rsplit("/", 1)[1]
    proofs = f"account-proofs:{account}"
    held = run(["redis-cli", "-s", own_sandbox["REDIS_SOCKET"], "HKEYS", proofs]).stdout.strip()
    assert held.startswith(name)
    run(["redis-cli", "-s", own_sandbox["REDIS_SOCKET"], "HINCRBY", proofs, held, "-3700"])
    reply = client.revoke(der_of(leaves[1]))
    assert (reply.status, reply.problem) == (403, "unauthorized"), reply.text
    customer.close()
