"""An operator sees the ACME accounts of a customer and ends them: one, or all that a binding key which was stolen has bound."""

import secrets

import pytest

from acme_kit import change_key
from acme_raw import AccountKey, make_csr, make_key
from admin_api import AdminError
from cli_tools import Shell
from under_test import run, wait_until
from verify import der_of, load_chain


class Owner:
    """A customer whose binding key a thief has copied: two accounts of his own, by another key, and two of the thief's."""

    def __init__(self, sandbox):
        self.sandbox, self.admin = sandbox, sandbox.admin
        customer = sandbox.new_customer()
        self.id, self.zone, self.own = customer.id, customer.zone, customer.client
        self.stolen = self.admin.post(f"customers/{self.id}/eab-keys")
        self.thieves = [self.account(self.stolen, contact=["mailto:thief@a.test"]) for _ in range(2)]

    def account(self, eab, **fields):
        client = self.sandbox.client(is_registered=False)
        client.register(eab["kid"], eab["hmac"], **fields).expect(201)
        return client

    def listed(self, **query):
        words = "&".join(f"{key}={value}" for key, value in query.items())
        return self.sandbox.listing(f"customers/{self.id}/acme-accounts?{words}")

    def end_key(self):
        return self.admin.delete(f"customers/{self.id}/eab-keys/{self.stolen['kid']}?accounts=deactivate")


@pytest.fixture
def owner(sandbox):
    return Owner(sandbox)


@pytest.fixture
def originca(sandbox, tmp_path):
    shell = Shell(tmp_path, sandbox)
    return lambda *words, status=0: shell.run("admin", "--socket", sandbox["ADMIN_SOCKET"], *words, status=status)


def id_of(client):
    return client.kid.rpartition("/")[2]


def redis(sandbox, *words):
    return run(["redis-cli", "-s", sandbox["REDIS_SOCKET"], *words]).stdout.strip()


def can_do_nothing(sandbox, client, ready, leaf, name):
    key = make_key("p256")
    fresh = AccountKey()
    replies = {"order": client.new_order([name]), "finalize": client.finalize(ready, make_csr(key, ready["names"])),
               "revoke": client.revoke(der_of(leaf)), "change key": change_key(client, fresh),
               "read": client.post(client.kid), "orders": client.post(f"{client.kid}/orders")}
    assert {what: reply.status for what, reply in replies.items()} == dict.fromkeys(replies, 401), replies
    assert all("deactivated" in reply.json["detail"] for reply in replies.values())
    twin = sandbox.client(is_registered=False, key=client.key)
    assert twin.register().status == 401, "registering again"


def order_of(client, name):
    return client.new_order([name]).expect(201).json | {"names": [name]}


def test_a_stolen_binding_key_ends_with_the_accounts_that_it_bound(owner):
    zone = owner.zone
    leaf = load_chain(owner.own.issue([f"own.{zone}"])[1])[0]
    ready = [order_of(thief, f"t{at}.{zone}") for at, thief in enumerate(owner.thieves)]
    for thief in owner.thieves:
        order_of(thief, f"own.{zone}")  # which lets it revoke the owner's certificate by authorization
    assert owner.admin.delete(f"customers/{owner.id}/eab-keys/{owner.stolen['kid']}") == {
        "kid": owner.stolen["kid"], "revoked": True}
    order_of(owner.thieves[0], f"still.{zone}")  # the key's end alone leaves them
    assert owner.end_key() == {"kid": owner.stolen["kid"], "revoked": True, "accounts_deactivated": 2, "has_more": False}
    assert owner.end_key()["accounts_deactivated"] == 0
    for thief, order in zip(owner.thieves, ready, strict=True):
        can_do_nothing(owner.sandbox, thief, order, leaf, f"again.{zone}")
    assert owner.sandbox.certificates(zone)[0]["status"] == "valid"
    owner.own.issue([f"more.{zone}"])
    assert owner.own.revoke(der_of(leaf)).status == 200
    ends = [record for record in owner.sandbox.ledger("account-deactivated")
            if record["account"] in map(id_of, owner.thieves)]
    assert len(ends) == 2 and all(record["by"].startswith("admin:") for record in ends)


def test_one_account_is_shown_and_ended(owner):
    first, second = owner.thieves
    ready = order_of(first, f"t.{owner.zone}")
    leaf = load_chain(owner.own.issue([f"t.{owner.zone}"])[1])[0]
    shown = owner.admin.get(f"acme-accounts/{id_of(first)}")
    assert {key: shown[key] for key in ("id", "customer", "status", "thumbprint", "url", "eab_key", "contact")} == {
        "id": id_of(first), "customer": owner.id, "status": "valid", "thumbprint": first.key.thumbprint, "url": first.kid,
        "eab_key": owner.stolen["kid"], "contact": ["mailto:thief@a.test"]}
    assert shown["created_at"] <= shown["used_at"]
    for _ in range(2):
        ended = owner.admin.post(f"acme-accounts/{id_of(first)}/deactivate")
        assert ended == shown | {"status": "deactivated"}
    can_do_nothing(owner.sandbox, first, ready, leaf, f"again.{owner.zone}")
    assert len([1 for record in owner.sandbox.ledger("account-deactivated") if record["account"] == id_of(first)]) == 1
    order_of(second, f"goes-on.{owner.zone}")


def test_what_is_in_processing_is_withdrawn_when_its_account_ends(owner):
    thief, name = owner.thieves[0], f"held.{owner.zone}"
    order = order_of(thief, name)
    owner.admin.post("signing", {"allowed": False, "only": "this-host"})
    try:
        reply = thief.finalize(order, make_csr(make_key("p256"), [name])).expect(200)
        assert reply.json["status"] == "processing"
        owner.end_key()
    finally:
        owner.admin.post("signing", {"allowed": True, "only": "this-host"})
    path = f"orders/{reply.headers['Location'].rpartition('/')[2]}"
    assert wait_until(lambda: owner.admin.get(path)["status"] == "invalid", 60, pause=0.3)
    assert owner.sandbox.certificates(owner.zone) == []


def test_the_list_has_each_account_once_and_takes_filters(owner):
    hand = AccountKey()
    made = owner.admin.post(f"customers/{owner.id}/acme-accounts", {"jwk": hand.jwk})
    assert "eab_key" not in made and made["used_at"]
    everybody = {id_of(client) for client in (*owner.thieves, owner.own)} | {made["id"]}
    assert {item["id"] for item in owner.listed()} == everybody and len(owner.listed()) == len(everybody)
    assert {item["id"] for item in owner.listed(eab_key=owner.stolen["kid"])} == {id_of(each) for each in owner.thieves}
    paged, cursor = [], ""
    while cursor is not None:
        page = owner.admin.get(f"customers/{owner.id}/acme-accounts?limit=1" + (f"&cursor={cursor}" if cursor else ""))
        paged += [item["id"] for item in page["items"]]
        cursor = page.get("cursor")
    assert sorted(paged) == sorted(everybody)
    owner.admin.post(f"acme-accounts/{made['id']}/deactivate")
    assert [item["id"] for item in owner.listed(status="deactivated")] == [made["id"]]
    assert len(owner.listed(status="valid")) == len(everybody) - 1
    assert not {item["id"] for item in owner.sandbox.listing("acme-accounts?")} & everybody


@pytest.mark.parametrize("method, path, status", [
    ("get", "acme-accounts/{none}", 404), ("post", "acme-accounts/{none}/deactivate", 404),
    ("get", "customers/nobody/acme-accounts", 404), ("get", "customers/{id}/acme-accounts?status=asleep", 400),
    ("delete", "customers/{id}/eab-keys/{none}?accounts=deactivate", 404),
    ("delete", "customers/{id}/eab-keys/{kid}?accounts=delete", 400),
    ("delete", "customers/{id}/eab-keys/{kid}?accounts=", 400)])
def test_what_is_not_there_or_not_known_is_refused(owner, method, path, status):
    path = path.format(id=owner.id, kid=owner.stolen["kid"], none=secrets.token_hex(16))
    with pytest.raises(AdminError) as refused:
        getattr(owner.admin, method)(path)
    assert refused.value.status == status
    assert all(item["status"] == "valid" for item in owner.listed())
    assert not [key for key in owner.admin.get(f"customers/{owner.id}/eab-keys")["items"] if key["revoked"]]


def test_another_customers_key_ends_nothing(owner, sandbox):
    with pytest.raises(AdminError) as refused:
        owner.admin.delete(f"customers/{sandbox['CUSTOMER_2']}/eab-keys/{owner.stolen['kid']}?accounts=deactivate")
    assert refused.value.status == 404
    assert len(owner.listed(status="valid")) == 3


def test_more_accounts_than_a_call_ends_are_ended_by_calling_again(owner, originca):
    extra = [owner.account(owner.stolen) for _ in range(103)]
    done = owner.end_key()
    assert done["accounts_deactivated"] == 100 and done["has_more"] is True
    result = originca("eab", "delete", owner.stolen["kid"], "--customer", owner.id, "--accounts", "--json")
    assert result.json["accounts_deactivated"] == len(extra) + 2 - 100, result.err
    assert [item["id"] for item in owner.listed(status="valid")] == [id_of(owner.own)]


def test_accounts_of_a_version_without_lists_are_listed_and_ended(owner):
    """Their hashes are what there was then."""
    redis(owner.sandbox, "DEL", f"customer-accounts:{owner.id}", "accounts-listed")
    assert wait_until(lambda: redis(owner.sandbox, "GET", "accounts-listed") == "all", 30)
    assert {item["id"] for item in owner.listed()} == {id_of(client) for client in (*owner.thieves, owner.own)}
    assert owner.end_key()["accounts_deactivated"] == 2


def test_the_command_line(owner, originca, sandbox):
    first, second = owner.thieves
    table = originca("acme-account", "list", "--customer", owner.id, "--eab-key", owner.stolen["kid"])
    assert id_of(first) in table.out and id_of(second) in table.out
    assert id_of(owner.own) not in table.out and "thief@a.test" in table.out
    assert originca("acme-account", "show", first.kid).out.count(id_of(first)) == 2
    assert originca("acme-account", "show", "--json", id_of(first)).json["eab_key"] == owner.stolen["kid"]
    ended = originca("acme-account", "deactivate", first.kid, "--yes")
    assert "deactivated" in ended.out, ended.err
    assert first.new_order([f"a.{owner.zone}"]).status == 401
    result = originca("eab", "delete", owner.stolen["kid"], "--customer", owner.id, "--accounts", "--yes")
    assert result.json["accounts_deactivated"] == 1, result.err
    assert second.new_order([f"a.{owner.zone}"]).status == 401
    originca("acme-account", "show", "nobody", status=1)
    originca("acme-account", "list", status=2)
    originca("acme-account", "list", "--without-customer", "--customer", owner.id, status=2)
    originca("acme-account", "list", "--without-customer")
    originca("eab", "list", owner.id, "--accounts", status=2)
