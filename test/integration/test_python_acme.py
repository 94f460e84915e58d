"""python3-acme, the library under certbot, walks every resource that it knows."""

import datetime

import josepy as jose
import pytest
from acme import client as acme_client
from acme import errors, messages
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from OpenSSL import crypto

from acme_raw import b64, make_csr, make_key
from clients import is_revoked
from verify import verify_certificate

ACCOUNT_KEYS = {
    "RS256": lambda: (jose.JWKRSA(key=rsa.generate_private_key(65537, 2048)), jose.RS256),
    "ES256": lambda: (jose.JWKEC(key=ec.generate_private_key(ec.SECP256R1())), jose.ES256),
    "ES384": lambda: (jose.JWKEC(key=ec.generate_private_key(ec.SECP384R1())), jose.ES384),
    "ES512": lambda: (jose.JWKEC(key=ec.generate_private_key(ec.SECP521R1())), jose.ES512),
}


def connect(sandbox, key, algorithm):
    network = acme_client.ClientNetwork(key, alg=algorithm, user_agent="originca-test",
                                        verify_ssl=sandbox["CA_BUNDLE"], timeout=60)
    directory = acme_client.ClientV2.get_directory(sandbox["DIRECTORY_URL"], network)
    return acme_client.ClientV2(directory, network)


def register(sandbox, client, **fields):
    binding = messages.ExternalAccountBinding.from_data(client.net.key.public_key(), sandbox["EAB_KID"],
                                                        sandbox["EAB_HMAC"], client.directory)
    return client.new_account(messages.NewRegistration.from_data(
        terms_of_service_agreed=True, external_account_binding=binding, **fields))


@pytest.fixture(scope="module")
def account(sandbox):
    client = connect(sandbox, *ACCOUNT_KEYS["ES256"]())
    register(sandbox, client)
    return client


def pem_request(key, names):
    return crypto.dump_certificate_request(
        crypto.FILETYPE_PEM, crypto.load_certificate_request(crypto.FILETYPE_ASN1, make_csr(key, names)))


def obtain(client, names, kind="p256"):
    key = make_key(kind)
    order = client.new_order(pem_request(key, names))
    deadline = datetime.datetime.now() + datetime.timedelta(seconds=60)
    return key, client.poll_and_finalize(order, deadline)


def as_openssl(pem):
    return jose.ComparableX509(crypto.load_certificate(crypto.FILETYPE_PEM, pem.encode()))


def test_the_directory_says_that_accounts_are_bound(account):
    assert account.external_account_required()


@pytest.mark.parametrize("algorithm", ACCOUNT_KEYS)
def test_an_account_of_each_algorithm_obtains_a_certificate(sandbox, algorithm):
    client = connect(sandbox, *ACCOUNT_KEYS[algorithm]())
    register(sandbox, client)
    names = [sandbox.name()]
    key, order = obtain(client, names)
    verify_certificate(order.fullchain_pem, key, names, sandbox["ISSUER_ECC"])


@pytest.mark.parametrize("kind", ["rsa2048", "rsa4096", "p256", "p384"])
def test_certificates_of_each_key_kind(sandbox, account, kind):
    names = [sandbox.name(), f"*.{sandbox.name()}"]
    key, order = obtain(account, names, kind)
    verify_certificate(order.fullchain_pem, key, names, sandbox["ISSUER_ECC"], kind=kind)


def test_an_account_is_read_changed_and_deactivated(sandbox):
    key = ACCOUNT_KEYS["ES256"]()
    client = connect(sandbox, *key)
    registration = register(sandbox, client, email="first@shop.test")
    assert client.query_registration(registration).body.emails == ("first@shop.test",)
    changed = registration.body.update(contact=("mailto:second@shop.test",))
    assert client.update_registration(registration, changed).body.emails == ("second@shop.test",)
    with pytest.raises(errors.ConflictError):
        register(sandbox, connect(sandbox, *key))
    assert client.deactivate_registration(registration).body.status == "deactivated"
    with pytest.raises(messages.Error) as refused:
        client.new_order(pem_request(make_key("p256"), [sandbox.name()]))
    assert refused.value.code == "unauthorized"


def test_authorizations_are_valid_at_once_and_can_be_deactivated(sandbox, account):
    order = account.new_order(pem_request(make_key("p256"), [sandbox.name(), f"*.{sandbox.name()}"]))
    assert order.body.status == messages.STATUS_READY
    for authorization in order.authorizations:
        assert authorization.body.status == messages.STATUS_VALID
        challenge, = authorization.body.challenges
        assert challenge.chall.typ == "dns-01" and challenge.status == messages.STATUS_VALID
        answered = account.answer_challenge(challenge, challenge.chall.response(account.net.key))
        assert answered.body.status == messages.STATUS_VALID
    gone = account.deactivate_authorization(order.authorizations[0])
    assert gone.body.status == messages.STATUS_DEACTIVATED
    with pytest.raises((messages.Error, errors.Error)):
        account.poll_and_finalize(order, datetime.datetime.now() + datetime.timedelta(seconds=10))


def test_revocation_and_its_repetition(sandbox, account):
    names = [sandbox.name()]
    key, order = obtain(account, names)
    leaf = verify_certificate(order.fullchain_pem, key, names, sandbox["ISSUER_ECC"])
    account.revoke(as_openssl(order.fullchain_pem), 4)
    assert is_revoked(sandbox, leaf)
    with pytest.raises(messages.Error) as repeated:
        account.revoke(as_openssl(order.fullchain_pem), 4)
    assert repeated.value.code == "alreadyRevoked"


def test_renewal_information_of_a_certificate(sandbox, account):
    names = [sandbox.name()]
    key, order = obtain(account, names)
    leaf = verify_certificate(order.fullchain_pem, key, names, sandbox["ISSUER_ECC"])
    authority = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    identifier = f"{b64(authority)}.{b64(leaf.serial_number.to_bytes(16, 'big'))}"
    reply = account.net.get(f"{account.directory['renewalInfo']}/{identifier}")
    window = reply.json()["suggestedWindow"]
    assert reply.headers["Retry-After"].isdigit()
    assert leaf.not_valid_before.isoformat() < window["start"] < window["end"] < leaf.not_valid_after.isoformat()


def test_orders_are_listed(sandbox, account):
    registration = account.net.account
    _, order = obtain(account, [sandbox.name()])
    body = account._post_as_get(registration.uri).json()
    listed, url = [], body["orders"]
    while url:
        page = account._post_as_get(url)
        listed += page.json()["orders"]
        url = page.links.get("next", {}).get("url")
    assert order.uri in listed


def test_directory_and_nonces_need_no_account(sandbox):
    client = connect(sandbox, *ACCOUNT_KEYS["ES256"]())
    for name in ("newNonce", "newAccount", "newOrder", "revokeCert", "keyChange", "renewalInfo"):
        assert client.directory[name].startswith("https://")
    assert "Replay-Nonce" in client.net.head(client.directory["newNonce"]).headers
