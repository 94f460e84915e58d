"""RFC 8555 7.3: accounts and their external binding: what is kept, what may change, what ends one."""

import hashlib
import secrets

import pytest

from acme_kit import shared, stranger, other_account  # noqa: F401: fixtures
from acme_kit import MALFORMED, NO_ACCOUNT, refused, same_words
from acme_raw import AccountKey, b64, make_csr, make_eab, make_key, make_key_change, unb64
from verify import der_of, load_chain

TERMS = "https://provider.test/terms"
SANDBOX_OPTIONS = ("--set", f"acme.terms_of_service={TERMS}")


# --- accounts (7.3) ---

def test_a_new_account_is_created_and_the_same_key_finds_it_again(sandbox):
    client = sandbox.client(is_registered=False)
    created = client.register(sandbox["EAB_KID"], sandbox["EAB_HMAC"], contact=["mailto:a@shop.test"]).expect(201)
    account = created.json
    assert account["status"] == "valid" and account["contact"] == ["mailto:a@shop.test"]
    assert account["orders"].startswith(client.kid) and "externalAccountBinding" not in account
    assert created.headers.get_content_type() == "application/json"
    again = client.register(sandbox["EAB_KID"], sandbox["EAB_HMAC"], contact=["mailto:b@shop.test"]).expect(200)
    assert again.headers["Location"] == created.headers["Location"]
    assert again.json["contact"] == ["mailto:a@shop.test"], "newAccount changes no account that exists"
    without = client.register().expect(200)
    assert without.headers["Location"] == client.kid
    assert client.post(client.kid).expect(200).json == account
    client.close()


def test_only_return_existing_creates_nothing(sandbox):
    client = sandbox.client(is_registered=False)
    url = client.directory["newAccount"]
    refused(client.post(url, {"onlyReturnExisting": True}, with_jwk=True), *NO_ACCOUNT)
    reply = client.register(sandbox["EAB_KID"], sandbox["EAB_HMAC"], onlyReturnExisting=True)
    refused(reply, *NO_ACCOUNT)
    client.register(sandbox["EAB_KID"], sandbox["EAB_HMAC"]).expect(201)
    found = client.post(url, {"onlyReturnExisting": True}, with_jwk=True).expect(200)
    assert found.headers["Location"] == client.kid
    client.close()


GOOD_CONTACTS = [[], None, ["mailto:a@shop.test"], ["MAILTO:Big.Name+tag@Shop.Test"],
                 ["mailto:a@shop.test", "mailto:b@shop.test"], ["mailto:a%25b@shop.test"]]
BAD_CONTACTS = [
    (["tel:+123456789"], "unsupportedContact"), (["https://shop.test"], "unsupportedContact"),
    (["a@shop.test"], "unsupportedContact"), ([""], "unsupportedContact"), (["mailto"], "unsupportedContact"),
    (["mailto:a@shop.test", "tel:1"], "unsupportedContact"), (["mailto:"], "invalidContact"),
    (["mailto:nobody"], "invalidContact"), (["mailto:@shop.test"], "invalidContact"),
    (["mailto:a@"], "invalidContact"), (["mailto:a@b@shop.test"], "invalidContact"),
    (["mailto:a@shop.test,b@shop.test"], "invalidContact"), (["mailto:a@shop.test?subject=x"], "invalidContact"),
    (["mailto:a@shop.test\r\nBcc: b@shop.test"], "invalidContact"), (["mailto:a b@shop.test"], "invalidContact"),
    (["mailto:ä@shop.test"], "invalidContact"), (["mailto:a@.test"], "invalidContact"),
    (["mailto:" + "a" * 400 + "@shop.test"], "invalidContact"), ([7], "invalidContact"),
    ([["mailto:a@shop.test"]], "invalidContact"), ([None], "invalidContact"),
    (["mailto:a@shop.test"] * 11, "invalidContact"), ("mailto:a@shop.test", "malformed"),
    ({"mailto": "a@shop.test"}, "malformed"), (7, "malformed"), (True, "malformed"),
]


@pytest.mark.parametrize("contact", GOOD_CONTACTS)
def test_good_contacts_are_kept_as_they_were_sent(sandbox, contact):
    client = sandbox.client(contact=contact)
    assert client.post(client.kid).json.get("contact", []) == (contact or [])
    client.close()


@pytest.mark.parametrize("contact, problem", BAD_CONTACTS)
def test_bad_contacts_are_refused_at_creation_and_update(sandbox, shared, contact, problem):
    client = sandbox.client(is_registered=False)
    refused(client.register(sandbox["EAB_KID"], sandbox["EAB_HMAC"], contact=contact), 400, problem)
    reply = client.post(client.directory["newAccount"], {"onlyReturnExisting": True}, with_jwk=True)
    refused(reply, *NO_ACCOUNT)
    before = shared.post(shared.kid).json
    refused(shared.post(shared.kid, {"contact": contact}), 400, problem)
    assert shared.post(shared.kid).json == before
    client.close()


def test_terms_must_be_agreed_to_where_there_are_any(own_sandbox):
    client = own_sandbox.client(is_registered=False)
    assert client.directory["meta"]["termsOfService"] == TERMS
    for agreed in (False, None, "true", 1):
        reply = client.register(own_sandbox["EAB_KID"], own_sandbox["EAB_HMAC"], termsOfServiceAgreed=agreed)
        body = refused(reply, 403, "userActionRequired")
        assert TERMS in body["detail"]
        assert f'<{TERMS}>;rel="terms-of-service"' in reply.headers.get_all("Link"), "RFC 8555 7.3.3"
    created = client.register(own_sandbox["EAB_KID"], own_sandbox["EAB_HMAC"]).expect(201)
    assert created.json["termsOfServiceAgreed"] is True
    assert client.post(client.directory["newAccount"], {}, with_jwk=True).status == 200
    client.close()


def test_an_update_changes_contacts_alone_and_ignores_the_rest(sandbox):
    client = sandbox.client(contact=["mailto:a@shop.test"])
    before = client.post(client.kid).json
    changed = client.post(client.kid, {"contact": ["mailto:b@shop.test"], "orders": "https://x.test", "status": "valid",
                                       "externalAccountBinding": {}, "initialIp": "192.0.2.1"}).expect(200)
    assert changed.json == before | {"contact": ["mailto:b@shop.test"]}
    assert changed.headers["Location"] == client.kid
    assert client.post(client.kid, {}).expect(200).json == changed.json
    assert "contact" not in client.post(client.kid, {"contact": []}).expect(200).json
    client.close()


@pytest.mark.parametrize("status", ["revoked", "Deactivated", "", 7, None, ["deactivated"]])
def test_no_other_status_can_be_set(shared, status):
    reply = shared.post(shared.kid, {"status": status})
    if status is None:
        reply.expect(200, 400)
    else:
        refused(reply, *MALFORMED)
    assert shared.post(shared.kid).json["status"] == "valid"


def test_another_accounts_resources_cannot_be_read_or_changed(shared, other_account):
    missing = shared.kid[:-4] + "0000"
    for suffix in ("", "/orders"):
        reply = shared.post(other_account.kid + suffix)
        refused(reply, 403, "unauthorized")
        assert same_words(reply, shared.post(missing + suffix))
    refused(shared.post(other_account.kid, {"status": "deactivated"}), 403, "unauthorized")
    other_account.post(other_account.kid).expect(200)


def test_a_deactivated_account_can_do_nothing(sandbox):
    client = sandbox.client()
    names = [sandbox.name()]
    key, chain, order_url = client.issue(names)
    leaf = load_chain(chain)[0]
    ready = client.new_order([sandbox.name()]).expect(201)
    done = client.post(order_url).json
    account = client.post(client.kid).json
    answer = client.post(client.kid, {"status": "deactivated"}).expect(200)
    assert answer.json["status"] == "deactivated"
    inner = make_key_change(client.key, AccountKey(), client.directory["keyChange"], client.kid)
    csr = b64(make_csr(make_key("p256"), [ready.json["identifiers"][0]["value"]]))
    for url, payload in [(client.kid, None), (client.kid, {"contact": []}), (client.kid, {"status": "deactivated"}),
                         (client.kid, {"status": "valid"}), (account["orders"], None),
                         (client.directory["newOrder"], {"identifiers": [{"type": "dns", "value": names[0]}]}),
                         (ready.headers["Location"], None), (ready.json["finalize"], {"csr": csr}),
                         (ready.json["authorizations"][0], None), (done["certificate"], None),
                         (client.directory["keyChange"], inner),
                         (client.directory["revokeCert"], {"certificate": b64(der_of(leaf))})]:
        refused(client.post(url, payload), 401, "unauthorized")
    for payload in ({}, {"onlyReturnExisting": True}):
        refused(client.post(client.directory["newAccount"], payload, with_jwk=True), 401, "unauthorized")
    refused(client.register(sandbox["EAB_KID"], sandbox["EAB_HMAC"]), 401, "unauthorized")
    assert sandbox.admin.get(f"certificates/{leaf.serial_number}")["status"] == "valid"
    client.revoke(der_of(leaf), key=AccountKey("ES256", key)).expect(200)
    client.close()


# --- external account binding (7.3.4) ---

def bound(client, sandbox, **changes):
    """A newAccount whose binding is `changes` away from a good one."""
    url = client.directory["newAccount"]
    options = {"key": client.key, "url": url, "kid": sandbox["EAB_KID"], "hmac": sandbox["EAB_HMAC"]} | changes
    return client.post(url, {"termsOfServiceAgreed": True, "externalAccountBinding": make_eab(**options)},
                       with_jwk=True)


BAD_BINDINGS = {
    "wrong-hmac-key": (lambda c, s: bound(c, s, hmac=b64(secrets.token_bytes(32))), (403, "unauthorized")),
    "hmac-key-of-another-kid": (lambda c, s: bound(c, s, hmac=s["EAB_HMAC_2"]), (403, "unauthorized")),
    "unknown-kid": (lambda c, s: bound(c, s, kid="unknown"), (403, "unauthorized")),
    "very-long-kid": (lambda c, s: bound(c, s, kid="k" * 5000), (403, "unauthorized")),
    "odd-kid": (lambda c, s: bound(c, s, kid="é\n\x01 *"), (403, "unauthorized")),
    "empty-kid": (lambda c, s: bound(c, s, kid=""), (403, "unauthorized")),
    "kid-missing": (lambda c, s: bound(c, s, header={"kid": None}), MALFORMED),
    "another-accounts-key": (lambda c, s: bound(c, s, key=AccountKey()), MALFORMED),
    "url-of-another-resource": (lambda c, s: bound(c, s, url=c.directory["newOrder"]), MALFORMED),
    "url-missing": (lambda c, s: bound(c, s, header={"url": None}), MALFORMED),
    "nonce": (lambda c, s: bound(c, s, header={"nonce": "AAAA"}), MALFORMED),
    "jwk-in-the-header": (lambda c, s: bound(c, s, header={"jwk": c.key.jwk}), MALFORMED),
    "alg-none": (lambda c, s: bound(c, s, header={"alg": "none"}), MALFORMED),
    "alg-of-a-signature": (lambda c, s: bound(c, s, header={"alg": "ES256"}), MALFORMED),
    "alg-HS512": (lambda c, s: bound(c, s, header={"alg": "HS512"}, digest=hashlib.sha512), MALFORMED),
    "mac-of-another-digest": (lambda c, s: bound(c, s, digest=hashlib.sha512), (403, "unauthorized")),
}


@pytest.mark.parametrize("case", BAD_BINDINGS)
def test_a_bad_binding_is_refused_and_creates_nothing(sandbox, case):
    build, (status, problem) = BAD_BINDINGS[case]
    client = sandbox.client(is_registered=False)
    body = refused(build(client, sandbox), status, problem)
    assert "externalAccountBinding" in body["detail"] or "binding" in body["detail"]
    refused(client.post(client.directory["newAccount"], {"onlyReturnExisting": True}, with_jwk=True), *NO_ACCOUNT)
    client.close()


@pytest.mark.parametrize("binding, problem", [(None, (403, "externalAccountRequired")), ({}, MALFORMED),
                                              ("x", MALFORMED), ([], MALFORMED), (7, MALFORMED),
                                              ({"protected": "", "payload": "", "signature": ""}, MALFORMED)])
def test_a_binding_that_is_missing_or_none_is_refused(sandbox, binding, problem):
    client = sandbox.client(is_registered=False)
    payload = {"termsOfServiceAgreed": True} | ({} if binding is None else {"externalAccountBinding": binding})
    refused(client.post(client.directory["newAccount"], payload, with_jwk=True), *problem)
    client.close()


@pytest.mark.parametrize("part", ["protected", "payload", "signature"])
def test_a_binding_changed_after_it_was_made_is_refused(sandbox, part):
    client = sandbox.client(is_registered=False)
    url = client.directory["newAccount"]
    binding = make_eab(client.key, url, sandbox["EAB_KID"], sandbox["EAB_HMAC"])
    changed = unb64(binding[part])
    changed = (changed + b" ") if part != "signature" else bytes([changed[0] ^ 0x80]) + changed[1:]
    payload = {"termsOfServiceAgreed": True, "externalAccountBinding": binding | {part: b64(changed)}}
    refused(client.post(url, payload, with_jwk=True), 403, "unauthorized")
    client.close()


def test_a_binding_key_serves_many_accounts_until_it_is_revoked(sandbox):
    customer = sandbox.admin.post("customers", {"name": f"c{secrets.token_hex(4)}"})["id"]
    eab = sandbox.admin.post(f"customers/{customer}/eab-keys")
    clients = [sandbox.client(is_registered=False) for _ in range(3)]
    for client in clients[:2]:
        client.register(eab["kid"], eab["hmac"]).expect(201)
    sandbox.admin.delete(f"customers/{customer}/eab-keys/{eab['kid']}")
    refused(clients[2].register(eab["kid"], eab["hmac"]), 403, "unauthorized")
    clients[0].post(clients[0].kid).expect(200)
    for client in clients:
        client.close()


def test_binding_a_key_for_another_customer_is_refused_and_changes_nothing(sandbox):
    """As after a key was bound by hand for the wrong customer: an account that cannot order his names is no answer."""
    key = AccountKey()
    bound = sandbox.admin.post(f"customers/{sandbox['CUSTOMER_2']}/acme-accounts", {"jwk": key.jwk})
    client = sandbox.client(is_registered=False, key=key)
    reply = client.register(sandbox["EAB_KID"], sandbox["EAB_HMAC"])
    assert "new account key" in refused(reply, 403, "unauthorized")["detail"]
    assert "Location" not in reply.headers
    for eab in ((), (sandbox["EAB_KID_2"], sandbox["EAB_HMAC_2"])):
        assert client.register(*eab).expect(200).headers["Location"] == bound["url"]
    assert client.register(sandbox["EAB_KID"], sandbox["EAB_HMAC"], onlyReturnExisting=True).expect(200)
    client.kid = bound["url"]
    client.new_order([sandbox.name(sandbox["ZONE_2"])]).expect(201)
    client.close()


def test_an_existing_account_is_returned_whatever_binding_is_no_good_any_more(sandbox):
    """7.3.1: clients send the binding of their settings again when they start."""
    customer = sandbox.admin.post("customers", {"name": f"c{secrets.token_hex(4)}"})["id"]
    eab = sandbox.admin.post(f"customers/{customer}/eab-keys")
    client = sandbox.client(is_registered=False)
    made = client.register(eab["kid"], eab["hmac"]).expect(201).headers["Location"]
    sandbox.admin.delete(f"customers/{customer}/eab-keys/{eab['kid']}")
    for kid, hmac in ((eab["kid"], eab["hmac"]), ("0" * 32, eab["hmac"]), (sandbox["EAB_KID"], eab["hmac"])):
        assert client.register(kid, hmac).expect(200).headers["Location"] == made
    payload = {"externalAccountBinding": {}, "contact": ["tel:1"]}
    again = client.post(client.directory["newAccount"], payload, with_jwk=True).expect(200)
    assert again.headers["Location"] == made
    client.close()


def test_an_account_gets_the_names_of_the_customer_it_is_bound_to(sandbox, shared, stranger):
    theirs, ours = sandbox.name(sandbox["ZONE_2"]), sandbox.name()
    stranger.new_order([theirs]).expect(201)
    refused(stranger.new_order([ours]), 403, "rejectedIdentifier")
    shared.new_order([ours]).expect(201)
    refused(shared.new_order([theirs]), 403, "rejectedIdentifier")
