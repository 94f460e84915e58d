"""keyCompromise blocks a key for everybody on proof of its possession, or by an admin; without proof for those alone who
said it. So nobody's word harms the owner of a key that he has seen in a CSR."""

from pathlib import Path

import pytest

from acme_kit import refused
from acme_raw import AccountKey, make_csr, make_key
from rest_client import leaf_of, make_csr as make_pem_csr, rest
from signer_link import OK, REVOKE, SignerLink, revocation
from under_test import wait_until
from verify import der_of, load_chain


@pytest.fixture
def owner(sandbox):
    client = sandbox.client()
    yield client
    client.close()


@pytest.fixture
def rival(sandbox):
    client = sandbox.client(2)
    yield client
    client.close()


def may_use(sandbox, client, key, zone):
    """Does a customer get a certificate for that key by ACME? By REST the answer must be the same."""
    name = sandbox.name(zone)
    reply = client.finalize(client.new_order([name]).expect(201).json, make_csr(key, [name]))
    answer = rest(sandbox, 1 if zone == sandbox["ZONE"] else 2).create([sandbox.name(zone)], csr=make_pem_csr(key))
    if reply.status == 200:
        assert reply.json["status"] == "valid" and answer.status == 200
        return True
    assert "compromised" in refused(reply, 400, "badCSR")["detail"]
    answer.expect_error(400, 1011, "compromised")
    return False


def issue_for(sandbox, client, key, zone):
    """(name, leaf) of a certificate for this key."""
    name = sandbox.name(zone)
    done = client.finalize(client.new_order([name]).expect(201).json, make_csr(key, [name])).expect(200).json
    return name, load_chain(client.post(done["certificate"]).expect(200).text)[0]


def test_a_strangers_csr_gets_a_certificate_and_its_revocation_harms_the_stranger_alone(sandbox, owner, rival):
    """The attack: somebody's public CSR, sent by REST for a name of one's own, and that certificate revoked for
    keyCompromise by one's own account, which holds the name."""
    key = make_key("p256")
    public_csr = make_pem_csr(key)
    owners_name, owners = issue_for(sandbox, owner, key, sandbox["ZONE"])
    name = sandbox.name(sandbox["ZONE_2"])
    leaf = leaf_of(rest(sandbox, 2).create([name], csr=public_csr).result)
    assert leaf.public_key().public_numbers() == key.public_key().public_numbers()
    rival.new_order([name]).expect(201)
    rival.revoke(der_of(leaf), 1).expect(200)
    record = sandbox.ledger("revoked")[-1]
    assert int(record["serial"], 16) == leaf.serial_number and record["reason"] == 1
    customer = sandbox.admin.get(f"customers/{sandbox['CUSTOMER_2']}")["id"]
    assert record["by"] == f"account:{rival.kid.rpartition('/')[2]} customer:{customer}"
    assert not may_use(sandbox, rival, key, sandbox["ZONE_2"])
    assert may_use(sandbox, owner, key, sandbox["ZONE"])
    assert sandbox.admin.get(f"certificates/{owners.serial_number}")["status"] == "valid"
    owner.new_order([owners_name]).expect(201)


def test_the_owners_word_blocks_the_key_for_all_his_accounts_and_keys(sandbox, owner, rival):
    key = make_key("p256")
    _, leaf = issue_for(sandbox, owner, key, sandbox["ZONE"])
    owner.revoke(der_of(leaf), 1).expect(200)
    another = sandbox.client()
    assert not may_use(sandbox, another, key, sandbox["ZONE"])
    another.close()
    assert may_use(sandbox, rival, key, sandbox["ZONE_2"])


@pytest.mark.parametrize("how", ["the certificate's key", "an admin"])
def test_with_proof_or_by_an_admin_the_key_is_blocked_for_everybody(sandbox, owner, rival, how):
    key = make_key("p256")
    _, leaf = issue_for(sandbox, owner, key, sandbox["ZONE"])
    if how == "an admin":
        sandbox.admin.post(f"certificates/{leaf.serial_number}/revoke", {"reason": "keyCompromise"})
    else:
        owner.revoke(der_of(leaf), 1, AccountKey("ES256", key)).expect(200)
    assert not may_use(sandbox, owner, key, sandbox["ZONE"])
    assert not may_use(sandbox, rival, key, sandbox["ZONE_2"])


@pytest.mark.parametrize("first", [4, 1])
def test_proof_that_comes_after_another_revocation_still_counts_once(sandbox, owner, rival, first):
    key = make_key("p256")
    _, leaf = issue_for(sandbox, owner, key, sandbox["ZONE"])
    owner.revoke(der_of(leaf), first).expect(200)
    refused(owner.revoke(der_of(leaf), first), 400, "alreadyRevoked")
    assert may_use(sandbox, rival, key, sandbox["ZONE_2"])
    before = sandbox.admin.get(f"certificates/{leaf.serial_number}")
    owner.revoke(der_of(leaf), 1, AccountKey("ES256", key)).expect(200)
    after = sandbox.admin.get(f"certificates/{leaf.serial_number}")
    expected = before | {"reason": "keyCompromise", "revoked_by": "certificate-key", "crl": after["crl"]}
    assert after == expected, "the time of a revocation stays"
    assert not may_use(sandbox, rival, key, sandbox["ZONE_2"])
    refused(owner.revoke(der_of(leaf), 1, AccountKey("ES256", key)), 400, "alreadyRevoked")
    refused(owner.revoke(der_of(leaf), 1), 400, "alreadyRevoked")


def test_an_admins_word_after_the_owners_blocks_the_key_for_everybody(sandbox, owner, rival):
    key = make_key("p256")
    _, leaf = issue_for(sandbox, owner, key, sandbox["ZONE"])
    owner.revoke(der_of(leaf), 1).expect(200)
    shown = sandbox.admin.post(f"certificates/{leaf.serial_number}/revoke", {"reason": "keyCompromise"})
    assert not shown["was_revoked_before"]
    assert not may_use(sandbox, rival, key, sandbox["ZONE_2"])
    again = sandbox.admin.post(f"certificates/{leaf.serial_number}/revoke", {"reason": "keyCompromise"})
    assert again["was_revoked_before"]


def test_a_key_that_another_customers_certificate_has_is_accepted_by_acme_too(sandbox, owner, rival):
    """Who moves from one customer to another keeps his key."""
    key = make_key("p256")
    issue_for(sandbox, owner, key, sandbox["ZONE"])
    assert may_use(sandbox, rival, key, sandbox["ZONE_2"])


def test_an_accounts_key_is_not_taken_away_by_a_csr_and_a_certificates_key_makes_no_account(sandbox, owner, rival):
    answer = rest(sandbox, 2).create([sandbox.name(sandbox["ZONE_2"])], csr=make_pem_csr(owner.key.private))
    answer.expect_error(400, 1011)
    owner.post(owner.kid).expect(200)
    key = make_key("p256")
    rest(sandbox, 2).create([sandbox.name(sandbox["ZONE_2"])], csr=make_pem_csr(key)).result
    newcomer = sandbox.client(key=AccountKey("ES256", key), is_registered=False)
    refusal = refused(newcomer.register(sandbox["EAB_KID"], sandbox["EAB_HMAC"]), 400, "badPublicKey")
    assert "certificate" in refusal["detail"]
    newcomer.close()


def test_what_the_ledger_holds_of_a_key_is_not_passed_over_by_a_later_revocation(sandbox, owner, rival):
    """A worker ended between ledger and Redis: the ledger says that the key is compromised, with proof. Redis does not know it
    yet when somebody revokes for another reason."""
    key = make_key("p256")
    _, leaf = issue_for(sandbox, owner, key, sandbox["ZONE"])
    with SignerLink(Path(sandbox["ADMIN_SOCKET"]).parent) as worker:
        assert worker.ask(REVOKE, revocation(leaf.serial_number.to_bytes(16), 1, "certificate-key")).code == OK
    owner.revoke(der_of(leaf), 4).expect(200)
    path = f"certificates/{leaf.serial_number}"
    assert wait_until(lambda: sandbox.admin.get(path)["reason"] == "keyCompromise", 15, pause=0.3)
    assert not may_use(sandbox, owner, key, sandbox["ZONE"])
    assert not may_use(sandbox, rival, key, sandbox["ZONE_2"])
