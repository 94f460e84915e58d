"""The admin API and `originca admin`: every call with good input, every mistake with an answer that says what to
change, and the states of zones, keys, orders and certificates as real DNS and real issuance make them."""

import datetime
import hashlib
import json
import os
import re
import secrets
import socket
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives import serialization

from acme_raw import AccountKey, AcmeClient, b64, make_csr, make_key, unb64
from fence_kit import redis
from rest_client import bearer, rest
from under_test import run, wait_until
from verify import load_chain

from admin_api import AdminError  # under_test makes it known

POOL, PER_ZONE = 8, 2


def fresh(prefix="c"):
    return f"{prefix}-{secrets.token_hex(4)}"


@pytest.fixture
def customer(admin):
    """A customer of its own."""
    return admin.post("customers", {"name": fresh()})["name"]


@pytest.fixture
def zone(sandbox):
    """An active zone of its own; off-boarded in the end so that nobody checks it any more."""
    name = sandbox.new_zone()
    yield name
    forget(sandbox.admin, name)


def forget(admin, zone, customer=None):
    target = f"zones/{zone}" + (f"?customer={customer}" if customer else "")
    try:
        admin.delete(target)
    except AdminError as error:
        assert error.status == 404, error


def refused(call, status, *words):
    """The call's error, which must have that status, a text with the words and a request id to ask with."""
    with pytest.raises(AdminError) as caught:
        call()
    error = caught.value
    assert error.status == status, error
    codes = {400: "invalid", 404: "not-found", 409: "conflict", 429: "limit", 405: "invalid"}
    assert error.code == codes[status], error.body
    assert re.fullmatch(r"[0-9a-f]{16}", error.body["error"]["request"])
    for word in words:
        assert word in str(error), error
    return str(error)


def raw(sandbox, method, target, body=b"", headers=()):
    """A request as bytes, for what the JSON client cannot say: (status, text)."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        connection.connect(sandbox["ADMIN_SOCKET"])
        lines = [f"{method} {target} HTTP/1.1", "Host: admin", "Connection: close",
                 f"Content-Length: {len(body)}", *headers]
        connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        with connection.makefile("rb") as reader:
            answer = reader.read()
    head, _, text = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), text.decode()


def pages(admin, target, limit):
    """Every page of a list, each at most `limit` long and followed by its cursor."""
    cursor, result = None, []
    for _ in range(1000):
        separator = "&" if "?" in target else "?"
        page = admin.get(f"{target}{separator}limit={limit}" + (f"&cursor={quote(cursor)}" if cursor else ""))
        assert set(page) <= {"items", "cursor"}
        assert len(page["items"]) <= limit
        result.append(page["items"])
        cursor = page.get("cursor")
        if cursor is None:
            return result
    raise AssertionError("the list does not end")


def flat(lists):
    return [item for each in lists for item in each]


def is_time(text):
    return bool(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", text))


# Every call


UNKNOWN = [
    ("GET", "nothing"), ("GET", "customers/alice/nothing"), ("POST", "zones/shop.test/nothing"), ("GET", ""),
    ("GET", "customers/"),
]


@pytest.mark.parametrize("method, target", UNKNOWN)
def test_an_unknown_resource_is_404(admin, method, target):
    refused(lambda: admin.call(method, target, {} if method == "POST" else None), 404, "no such resource")


@pytest.mark.parametrize("target", ["zones//check", "orders/a%2Fb", "orders/..", "orders/%zz"])
def test_a_path_that_could_mean_two_things_is_400(sandbox, target):
    assert raw(sandbox, "GET", f"/admin/v1/{target}")[0] == 400


@pytest.mark.parametrize("method, target, allowed", [
    ("PUT", "customers", "GET, HEAD, POST"),
    ("DELETE", "customers/alice", "GET, HEAD"),
    ("DELETE", "zones", "GET, HEAD, POST"),
    ("PATCH", "zones/shop.test", "GET, HEAD, DELETE"),
    ("GET", "zones/shop.test/check", "POST"),
    ("GET", "certificates/1/revoke", "POST"),
    ("POST", "orders", "GET, HEAD"),
    ("POST", "stats", "GET, HEAD"),
    ("GET", "signing", "POST"),
    ("GET", "ledger/confirm-loss", "POST"),
])
def test_a_method_that_a_resource_does_not_have_is_405_and_names_those_it_has(admin, method, target, allowed):
    status, headers, text = admin.fetch(method, f"/admin/v1/{target}", {} if method == "POST" else None)
    assert status == 405, text
    assert headers["Allow"] == allowed


@pytest.mark.parametrize("target", [
    "customers", "zones", "customers/alice/eab-keys", "customers/alice/acme-accounts", "signing",
    "certificates/1/revoke",
])
@pytest.mark.parametrize("body, hint", [
    (b"{", "JSON"), (b'{"name":"a","name":"b"}', "JSON"), (b"\xff\xfe", "JSON"), (b"name=alice", "JSON"),
    (b"[" * 40 + b"]" * 40, "nested"),
])
def test_a_body_that_is_no_json_is_400(sandbox, target, body, hint):
    status, text = raw(sandbox, "POST", f"/admin/v1/{target}", body)
    assert status == 400 and hint in json.loads(text)["error"]["message"], text


@pytest.mark.parametrize("target", ["customers", "zones", "orders", "certificates"])
@pytest.mark.parametrize("parameter, hint", [
    ("limit=0", "1 to 1000"), ("limit=1001", "1 to 1000"), ("limit=-1", "1 to 1000"), ("limit=ten", "1 to 1000"),
    ("limit=", "1 to 1000"), ("limit=5x", "1 to 1000"), ("limit=99999999999999999999", "1 to 1000"),
    ("cursor=abc", "begin again"), ("cursor=1,", "begin again"), ("cursor=,a", "begin again"),
])
def test_a_wrong_limit_or_cursor_is_400(admin, target, parameter, hint):
    refused(lambda: admin.get(f"{target}?{parameter}"), 400, hint)


@pytest.mark.parametrize("target", [
    "zones?customer=nobody", "orders?customer=nobody", "certificates?customer=nobody", "customers/nobody",
    "customers/nobody/eab-keys",
])
def test_an_unknown_customer_is_404(admin, target):
    refused(lambda: admin.get(target), 404, "no such customer")


# Customers


def test_a_customer_is_created_shown_and_listed_by_id_and_by_name(admin):
    name = fresh()
    made = admin.post("customers", {"name": name})
    assert made["name"] == name and re.fullmatch(r"[0-9a-f]{32}", made["id"]) and is_time(made["created_at"])
    assert admin.get(f"customers/{name}") == admin.get(f"customers/{made['id']}") == made
    assert made in flat(pages(admin, "customers", 1000))


@pytest.mark.parametrize("name", ["a", "x" * 100, "Some.Name_1@x-y"])
def test_a_customers_name_may_be(admin, name):
    name = name if len(name) == 100 else name + fresh()
    name = (secrets.token_hex(4) + name)[:100]
    assert admin.post("customers", {"name": name})["name"] == name


@pytest.mark.parametrize("body, hint", [
    ({}, '"name" is missing'), ({"name": 7}, '"name" must be a string'), ({"name": None}, "must be a string"),
    ({"name": ""}, "1 to 100"), ({"name": "x" * 101}, "1 to 100"), ({"name": "a b"}, "letters, digits"),
    ({"name": "a/b"}, "letters, digits"), ({"name": "müller"}, "letters, digits"), ({"name": "a\nb"}, "letters"),
    ([], "JSON object"), (["a"], "JSON object"), ({"name": "-x"}, "must not begin with"), ({"name": ".."}, "must not begin with"),
    ({"name": "0123456789abcdef" * 2}, "form of a customer's id"), ({"name": "0123456789ABCDEF" * 2}, "choose a shorter or longer"),
    ({"name": "a\u001b[2Jb"}, "letters, digits"),
])
def test_a_bad_customer_is_400(admin, body, hint):
    refused(lambda: admin.call("POST", "customers", body), 400, hint)


def test_no_customer_is_named_as_anothers_id(sandbox, admin, customer):
    victim = admin.get(f"customers/{customer}")
    for name in (victim["id"], victim["id"].upper()):
        refused(lambda: admin.post("customers", {"name": name}), 400, "form of a customer's id", "choose")
        fails(sandbox, 1, "customer", "add", name, words=["form of a customer's id"])
    assert [each["id"] for each in flat(pages(admin, "customers", 1000)) if each["name"].lower() == victim["id"]] == []


def test_an_older_name_that_is_anothers_id_finds_neither(sandbox, admin, customer):
    """Names of before their form was checked: whoever says the word is told both, and nothing is done."""
    victim, newcomer = admin.get(f"customers/{customer}"), admin.post("customers", {"name": fresh()})
    key = admin.post(f"customers/{customer}/api-keys", {"kind": "token"})["key"]
    redis(sandbox, "HSET", "customer-names", victim["id"], newcomer["id"])
    redis(sandbox, "HSET", f"customer:{newcomer['id']}", "name", victim["id"])
    word, both = victim["id"], ("is the id of", customer, newcomer["id"])
    calls = [("GET", f"customers/{word}", None), ("POST", f"customers/{word}/eab-keys", {}),
             ("POST", f"customers/{word}/api-keys", {"kind": "token"}), ("POST", f"customers/{word}/suspend", {}),
             ("POST", f"customers/{word}/acme-accounts", {"jwk": AccountKey().jwk}),
             ("POST", "zones", {"name": f"{fresh()}.test", "customer": word}), ("GET", f"zones?customer={word}", None),
             ("GET", f"orders?customer={word}", None), ("GET", f"certificates?customer={word}", None),
             ("POST", "revocations", {"selection": {"customer": word}, "dry_run": True})]
    for method, target, body in calls:
        refused(lambda: admin.call(method, target, body), 409, *both)
    fails(sandbox, 1, "customer", "suspend", word, words=both)
    assert admin.get(f"customers/{customer}") == victim
    assert admin.get(f"customers/{newcomer['id']}")["name"] == word
    assert admin.get(f"customers/{customer}/eab-keys")["items"] == []
    answer = rest(sandbox, headers=bearer(key)).call("GET", "/zones")
    assert answer.status == 200, answer.body
    redis(sandbox, "HDEL", "customer-names", word)


def test_a_terminal_obeys_no_name_in_a_table(sandbox, admin, customer):
    """A key's name is free text: new ones have no control characters, and older ones are shown without them."""
    target = f"customers/{customer}/api-keys"
    for name in ("a\nb", "\x1b[2J", "\x7f", "\u009b2J"):
        refused(lambda: admin.post(target, {"kind": "token", "name": name}), 400, "control character")
    key = admin.post(target, {"kind": "token", "name": "Schlüssel 1"})
    assert "Schlüssel 1" in sandbox.admin_command("key", "list", customer).stdout
    redis(sandbox, "HSET", f"api-key:{key['id']}", "name", "a\x1b[2J\u009bb\nc")
    assert "a?[2J?b?c" in sandbox.admin_command("key", "list", customer).stdout


def test_a_customers_name_is_given_once_however_many_ask_at_once(sandbox):
    name = fresh()

    def create(_):
        return sandbox.admin.fetch("POST", "/admin/v1/customers", {"name": name})[0]

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(create, range(8))) == [201] + [409] * 7
    refused(lambda: sandbox.admin.post("customers", {"name": name}), 409, "exists already")


def test_customers_come_in_pages_newest_first_and_a_new_one_moves_no_page(admin):
    made = [admin.post("customers", {"name": fresh()})["id"] for _ in range(5)]
    first = admin.get("customers?limit=2")
    assert [each["id"] for each in first["items"]] == made[:2:-1]
    admin.post("customers", {"name": fresh()})
    second = admin.get(f"customers?limit=2&cursor={quote(first['cursor'])}")
    assert [each["id"] for each in second["items"]] == made[2:0:-1]
    everybody = [each["id"] for each in flat(pages(admin, "customers", 3))]
    assert len(everybody) == len(set(everybody)) and set(made) <= set(everybody)


# Zones: adding


BAD_ZONES = [
    ("", "empty"), ("com", "one label"), ("co.uk", "public suffix"), ("github.io", "public suffix"),
    ("*.shop.test", "wildcard"), ("a..test", "empty label"), (".a.test", "empty label"), ("a.test.", "final dot"),
    ("-a.test", "hyphen"), ("a-.test", "hyphen"), ("x" * 64 + ".test", "63"), (".".join(["a"] * 130), "253"),
    ("192.0.2.1", "IP address"), ("0x7f.1", "IP address"), ("müller.test", "A-label"),
    ("xn--zz.test", "IDNA2008"), ("ab--c.test", "A-label"), ("a_b.test", "letters, digits"),
    ("a b.test", "letters, digits"), ("printer.local", "reserved"), ("1.0.10.in-addr.arpa", "reserved"),
    ("x.onion", "reserved"),
]


@pytest.mark.parametrize("name, hint", BAD_ZONES)
def test_a_zone_that_nobody_can_own_is_400_and_is_not_kept(admin, customer, name, hint):
    refused(lambda: admin.post("zones", {"name": name, "customer": customer}), 400, hint)
    assert flat(pages(admin, f"zones?customer={customer}", 10)) == []


@pytest.mark.parametrize("body, status, hint", [
    ({}, 400, "is missing"), ({"name": "q.test"}, 400, '"customer" is missing'),
    ({"customer": "alice"}, 400, '"name" is missing'), ({"name": 7, "customer": "alice"}, 400, '"name" must be'),
    ({"name": "q.test", "customer": 7}, 400, '"customer" must be'),
    ({"name": "q.test", "customer": "nobody"}, 404, "no such customer"), ([], 400, "JSON object"),
])
def test_a_bad_zone_request_says_what_is_missing(admin, body, status, hint):
    refused(lambda: admin.call("POST", "zones", body), status, hint)


def test_a_new_zone_is_pending_with_the_name_servers_to_set_and_the_evidence_why(sandbox, admin, customer):
    name = f"{fresh('new')}.test"
    made = admin.post("zones", {"name": name, "customer": customer})
    assert made["name"] == name and made["status"] == "pending"
    assert re.fullmatch(r"[0-9a-f]{32}", made["id"])
    assert made["customer"] == admin.get(f"customers/{customer}")["id"]
    assert len(set(made["name_servers"])) == PER_ZONE
    assert set(made["name_servers"]) <= set(sandbox["NAME_SERVERS"].split(","))
    assert name in made["reason"] and is_time(made["checked_at"])
    assert made["evidence"]["queries"], made["evidence"]
    shown = admin.get(f"zones/{name}")
    assert shown["id"] == made["id"] and shown["evidence"]["queries"]
    assert admin.get(f"zones/{made['id']}")["name"] == name
    assert "evidence" not in admin.get(f"zones?customer={customer}")["items"][0]
    forget(admin, name)


def test_a_zones_name_is_the_same_in_capitals(sandbox, admin, zone):
    assert admin.get(f"zones/{zone.upper()}")["name"] == zone
    refused(lambda: admin.post("zones", {"name": zone.upper(), "customer": sandbox["CUSTOMER"]}), 409)
    assert admin.get(f"orders?zone={zone.upper()}")["items"] == []
    assert admin.get(f"certificates?zone={zone.upper()}")["items"] == []


def test_a_zone_is_found_by_its_name_as_a_person_writes_it(sandbox, admin, zone):
    name, written = f"xn--bcher-kva.{zone}", (f"xn--bcher-kva.{zone}.", f"bücher.{zone}", f"BÜCHER.{zone.upper()}.")
    admin.post("zones", {"name": name, "customer": sandbox["CUSTOMER"]})
    try:
        for each in map(quote, written):
            assert admin.get(f"zones/{each}")["name"] == name
            assert admin.post(f"zones/{each}/pause")["status"] == "paused"
            assert admin.post(f"zones/{each}/resume")["name"] == name
            assert admin.get(f"orders?zone={each}")["items"] == [] == admin.get(f"certificates?zone={each}")["items"]
        for each in written:
            key = admin.post(f"customers/{sandbox['CUSTOMER']}/api-keys", {"kind": "token", "zones": [each]})
            admin.call("DELETE", f"customers/{sandbox['CUSTOMER']}/api-keys/{key['id']}")
            found = rest(sandbox).call("GET", f"/zones?name={quote(each)}").result
            assert [found_zone["name"] for found_zone in found] == [name]
            told = admin.post("revocations", {"selection": {"zone": each}, "dry_run": True})
            assert told["count"] == 0 and told["selection"]["zone"] == admin.get(f"zones/{name}")["id"]
            assert json.loads(sandbox.admin_command("--json", "zone", "show", each).stdout)["name"] == name
            assert json.loads(sandbox.admin_command("--json", "issuance", "stop", "--zone", each).stdout)["name"] == name
            sandbox.admin_command("issuance", "allow", "--zone", each)
            sandbox.admin_command("cert", "revoke", "--zone", each, "--reason", "superseded", "--dry-run")
    finally:
        admin.call("DELETE", f"zones/{name}")
    refused(lambda: admin.get(f"zones/{quote('ü.')}"), 404)
    refused(lambda: admin.get("zones/%FF%FE"), 404)


def test_adding_a_zone_again_is_409_and_changes_nothing(sandbox, admin, zone):
    before = admin.get(f"zones/{zone}")
    refused(lambda: admin.post("zones", {"name": zone, "customer": sandbox["CUSTOMER"]}), 409, "already")
    after = admin.get(f"zones/{zone}")
    assert {key: after[key] for key in ("id", "status", "name_servers", "created_at")} == \
           {key: before[key] for key in ("id", "status", "name_servers", "created_at")}


def test_customers_who_add_one_zone_never_share_their_name_servers(admin):
    """Whoever can set the delegation to the pair of exactly this customer has the zone; there is a bound."""
    name, customers = f"{fresh('many')}.test", []
    pairs = set()
    wanted = len(list(combinations(range(POOL), PER_ZONE)))
    try:
        for _ in range(wanted):
            customers.append(admin.post("customers", {"name": fresh()})["name"])
            pairs.add(tuple(sorted(admin.post("zones", {"name": name, "customer": customers[-1]})["name_servers"])))
        assert len(pairs) == wanted
        late = admin.post("customers", {"name": fresh()})["name"]
        refused(lambda: admin.post("zones", {"name": name, "customer": late}), 429, "name servers")
        freed = tuple(sorted(admin.get(f"zones/{name}?customer={customers[0]}")["name_servers"]))
        admin.delete(f"zones/{name}?customer={customers[0]}")
        customers[0] = late
        assert tuple(sorted(admin.post("zones", {"name": name, "customer": late})["name_servers"])) == freed
    finally:
        for each in customers:
            forget(admin, name, each)


def test_a_zone_that_several_customers_have_wants_the_customer(sandbox, admin, customer):
    name = f"{fresh('both')}.test"
    for each in (customer, sandbox["CUSTOMER"]):
        admin.post("zones", {"name": name, "customer": each})
    refused(lambda: admin.get(f"zones/{name}"), 409, "say which customer")
    mine = admin.get(f"zones/{name}?customer={customer}")
    theirs = admin.get(f"zones/{name}?customer={sandbox['CUSTOMER']}")
    assert mine["id"] != theirs["id"]
    refused(lambda: admin.get(f"zones/{theirs['id']}?customer={customer}"), 404)
    for each in (customer, sandbox["CUSTOMER"]):
        forget(admin, name, each)


def test_a_part_of_another_customers_zone_stays_pending_and_takes_nothing_from_its_owner(sandbox, admin, zone, client):
    """Bob may ask for a part of Alice's zone; only she could delegate it to him, and until then it is hers."""
    part = f"part.{zone}"
    made = admin.post("zones", {"name": part, "customer": sandbox["CUSTOMER_2"]})
    assert made["status"] == "pending" and "not delegated" in made["reason"]
    assert admin.post(f"zones/{part}/check")["status"] == "pending"
    stranger = sandbox.client(2)
    reply = stranger.new_order([f"www.{part}"])
    assert reply.status in (400, 403), reply.text
    client.issue([f"www.{part}"])
    assert sandbox.certificates(part) == []
    stranger.close()
    forget(admin, part)


# Zones: their states


def test_a_zone_is_pending_until_dns_shows_the_delegation_then_active(sandbox, admin):
    name = sandbox.new_zone(is_delegated=False)
    assert admin.post(f"zones/{name}/check")["status"] == "pending"
    sandbox.dns("delegate", name)
    active = sandbox.check_zone(name, "active")
    assert is_time(active["activated_at"]) and "negatives" not in active
    assert all(server in active["reason"] for server in active["name_servers"])
    assert any(server in str(active["evidence"]) for server in active["name_servers"])
    forget(admin, name)


def test_a_pending_zone_becomes_active_by_itself(sandbox, admin):
    name = sandbox.new_zone(is_delegated=False)
    sandbox.dns("delegate", name)
    assert wait_until(lambda: admin.get(f"zones/{name}")["status"] == "active", 30, pause=0.3)
    forget(admin, name)


def test_a_zone_delegated_to_other_servers_of_the_provider_stays_pending(sandbox, admin):
    """Its parent names servers of ours, but those of nobody or of another customer."""
    name = sandbox.new_zone(is_delegated=False)
    assigned = set(admin.get(f"zones/{name}")["name_servers"])
    others = [each for each in sandbox["NAME_SERVERS"].split(",") if each not in assigned][:2]
    sandbox.dns("delegate", name, ",".join(others))
    pending = admin.post(f"zones/{name}/check")
    assert pending["status"] == "pending" and others[0] in pending["reason"]
    sandbox.dns("delegate", name, ",".join([sorted(assigned)[0], others[0]]))
    assert admin.post(f"zones/{name}/check")["status"] == "pending"
    forget(admin, name)


def test_a_zone_that_left_is_moved_after_three_negatives_and_active_again_when_it_returns(sandbox, admin, zone):
    sandbox.dns("undelegate", zone)
    seen = [admin.post(f"zones/{zone}/check")]
    while seen[-1]["status"] == "active" and len(seen) < 10:
        # A check of the same second with the same outcome counts once.
        before = seen[-1]["checked_at"]
        assert wait_until(lambda: datetime.datetime.utcnow().strftime("%FT%TZ") > before, 5)
        seen.append(admin.post(f"zones/{zone}/check"))
    assert [each["status"] for each in seen] == ["active", "active", "moved"], seen
    assert [each["negatives"] for each in seen] == [1, 2, 3]
    assert "elsewhere.test" in seen[-1]["reason"] and "elsewhere.test" in str(seen[-1]["evidence"])
    sandbox.dns("delegate", zone)
    assert "negatives" not in sandbox.check_zone(zone, "active")


def test_whoever_the_delegation_names_takes_the_zone_over(sandbox, admin, zone, client):
    bob = sandbox["CUSTOMER_2"]
    servers = admin.post("zones", {"name": zone, "customer": bob})["name_servers"]
    client.issue([f"www.{zone}"])
    sandbox.dns("delegate", zone, ",".join(servers))
    assert wait_until(lambda: admin.post(f"zones/{zone}/check?customer={bob}")["status"] == "active", 20, pause=0.3)
    former = admin.get(f"zones/{zone}?customer={sandbox['CUSTOMER']}")
    assert former["status"] == "moved" and "another customer" in former["reason"]
    assert admin.get(f"zones/{zone}")["customer"] == admin.get(f"customers/{bob}")["id"]
    assert client.new_order([f"www.{zone}"]).status == 403
    other = sandbox.client(2)
    other.issue([f"www.{zone}"])
    other.close()
    for each in (bob, sandbox["CUSTOMER"]):
        forget(admin, zone, each)


def test_a_paused_zone_gets_nothing_until_it_is_resumed(sandbox, admin, zone, client):
    order = client.new_order([zone]).expect(201).json
    for _ in range(2):
        assert admin.post(f"zones/{zone}/pause")["status"] == "paused"
    assert admin.post(f"zones/{zone}/check")["status"] == "paused"
    reply = client.new_order([f"www.{zone}"])
    assert reply.status == 503 and f"stopped for the zone {zone}" in reply.text, reply.text
    reply = client.finalize(order, make_csr(make_key("p256"), [zone]))
    assert reply.status == 503 and f"stopped for the zone {zone}" in reply.text, reply.text
    assert sandbox.certificates(zone) == []
    for _ in range(2):
        assert admin.post(f"zones/{zone}/resume")["status"] == "active"
    client.issue([f"www.{zone}"])


def test_a_pending_zone_that_was_paused_is_pending_again(sandbox, admin):
    name = sandbox.new_zone(is_delegated=False)
    assert admin.post(f"zones/{name}/pause")["status"] == "paused"
    assert admin.post(f"zones/{name}/resume")["status"] == "pending"
    forget(admin, name)


def test_an_offboarded_zone_is_gone_by_name_and_kept_by_id_and_may_be_added_again(sandbox, admin, client):
    name = sandbox.new_zone()
    client.issue([f"www.{name}"])
    order = client.new_order([name]).expect(201)
    gone = admin.delete(f"zones/{name}")
    assert gone["status"] == "deleted"
    for call in (lambda: admin.get(f"zones/{name}"), lambda: admin.delete(f"zones/{name}"),
                 lambda: admin.post(f"zones/{name}/check"), lambda: admin.post(f"zones/{gone['id']}/check"),
                 lambda: admin.post(f"zones/{gone['id']}/pause")):
        refused(call, 404, "no such zone")
    assert admin.get(f"zones/{gone['id']}")["status"] == "deleted"
    assert admin.get(f"orders/{order.headers['Location'].rpartition('/')[2]}")["status"] == "invalid"
    assert client.finalize(order.json, make_csr(make_key("p256"), [name])).status >= 400
    assert len(admin.get(f"certificates?zone={gone['id']}")["items"]) == 1
    again = admin.post("zones", {"name": name, "customer": sandbox["CUSTOMER"]})
    assert again["id"] != gone["id"]
    forget(admin, name)


@pytest.mark.parametrize("method, suffix", [
    ("GET", ""), ("DELETE", ""), ("POST", "/check"), ("POST", "/pause"), ("POST", "/resume"),
])
def test_an_unknown_zone_is_404(admin, method, suffix):
    refused(lambda: admin.call(method, f"zones/nobody-has-this.test{suffix}", None), 404, "no such zone")


def test_zones_are_listed_by_customer_in_pages(admin, customer):
    names = [f"{fresh('page')}.test" for _ in range(5)]
    for name in names:
        admin.post("zones", {"name": name, "customer": customer})
    got = pages(admin, f"zones?customer={customer}", 2)
    assert [each["name"] for each in flat(got)] == names[::-1]
    assert [len(each) for each in got][:3] == [2, 2, 1]
    everything = [each["name"] for each in flat(pages(admin, "zones", 100))]
    assert set(names) <= set(everything)
    for name in names:
        forget(admin, name)
    assert flat(pages(admin, f"zones?customer={customer}", 2)) == []


# Binding keys and accounts


def try_to_register(sandbox, key):
    client = sandbox.client(is_registered=False)
    reply = client.register(key["kid"], key["hmac"])
    client.close()
    return reply


def test_a_binding_key_binds_many_accounts_until_it_is_revoked(sandbox, admin, customer):
    key = admin.post(f"customers/{customer}/eab-keys")
    assert set(key) == {"kid", "hmac"} and len(unb64(key["hmac"])) >= 32
    for _ in range(2):
        assert try_to_register(sandbox, key).status == 201
    kept = sandbox.client(is_registered=False)
    kept.register(key["kid"], key["hmac"]).expect(201)
    for _ in range(2):
        assert admin.delete(f"customers/{customer}/eab-keys/{key['kid']}") == {"kid": key["kid"], "revoked": True}
    reply = try_to_register(sandbox, key)
    assert reply.status in (400, 401, 403), reply.text
    kept.post(kept.kid).expect(200)
    kept.close()


def test_a_binding_keys_hmac_is_shown_once_and_stored_nowhere(sandbox, admin, customer):
    status, headers, text = admin.fetch("POST", f"/admin/v1/customers/{customer}/eab-keys", {})
    key = json.loads(text)
    assert status == 201 and headers["Cache-Control"] == "no-store"
    listed = admin.get(f"customers/{customer}/eab-keys")["items"]
    assert [each["kid"] for each in listed] == [key["kid"]]
    assert set(listed[0]) == {"kid", "customer", "revoked", "created_at"} and listed[0]["revoked"] is False
    try_to_register(sandbox, key).expect(201)
    stored = b"".join(path.read_bytes() for path in (sandbox.directory / "redis").rglob("*") if path.is_file())
    assert key["kid"].encode() in stored
    assert key["hmac"].encode() not in stored and unb64(key["hmac"]) not in stored
    assert key["hmac"] not in sandbox.log_text()


def test_binding_keys_are_listed_newest_first_with_what_was_revoked(admin, customer):
    kids = [admin.post(f"customers/{customer}/eab-keys")["kid"] for _ in range(3)]
    admin.delete(f"customers/{customer}/eab-keys/{kids[1]}")
    listed = admin.get(f"customers/{customer}/eab-keys")["items"]
    assert [(each["kid"], each["revoked"]) for each in listed] == \
           [(kids[2], False), (kids[1], True), (kids[0], False)]


def test_nobody_elses_binding_key_can_be_revoked(sandbox, admin, customer):
    key = admin.post(f"customers/{customer}/eab-keys")
    for kid, owner in ((key["kid"], sandbox["CUSTOMER"]), ("none", customer)):
        refused(lambda kid=kid, owner=owner: admin.delete(f"customers/{owner}/eab-keys/{kid}"), 404, "binding key")
    refused(lambda: admin.delete(f"customers/nobody/eab-keys/{key['kid']}"), 404, "no such customer")
    refused(lambda: admin.post("customers/nobody/eab-keys"), 404, "no such customer")
    assert try_to_register(sandbox, key).status == 201


def bound_client(sandbox, key, account):
    client = AcmeClient(sandbox["DIRECTORY_URL"], sandbox["CA_BUNDLE"], key)
    client.kid = account["url"]
    return client


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "RS256", "EdDSA"])
def test_an_account_bound_by_hand_issues_for_its_customer_alone(sandbox, admin, algorithm):
    key = AccountKey(algorithm)
    target = f"customers/{sandbox['CUSTOMER']}/acme-accounts"
    account = admin.post(target, {"jwk": key.jwk})
    assert account["status"] == "valid" and account["thumbprint"] == key.thumbprint
    assert account["customer"] == admin.get(f"customers/{sandbox['CUSTOMER']}")["id"]
    client = bound_client(sandbox, key, account)
    client.issue([sandbox.name()])
    assert client.new_order([sandbox.name(sandbox["ZONE_2"])]).problem == "rejectedIdentifier"
    client.kid = None
    found = client.post(client.directory["newAccount"], {"onlyReturnExisting": True}, with_jwk=True).expect(200)
    assert found.headers["Location"] == account["url"]
    client.close()


def test_binding_a_key_again_gives_the_same_account_and_to_another_customer_is_409(sandbox, admin):
    jwk = AccountKey().jwk
    target = f"/admin/v1/customers/{sandbox['CUSTOMER']}/acme-accounts"
    first, second = (admin.fetch("POST", target, {"jwk": jwk}) for _ in range(2))
    assert (first[0], second[0]) == (201, 200)
    assert json.loads(first[2]) == json.loads(second[2])
    refused(lambda: admin.post(f"customers/{sandbox['CUSTOMER_2']}/acme-accounts", {"jwk": jwk}), 409,
            "another customer")


def bad_jwks():
    good = AccountKey().jwk
    yield {}, '"jwk" must be'
    yield {"jwk": "text"}, '"jwk" must be'
    yield {"jwk": {}}, '"kty" is missing'
    yield {"jwk": {"kty": "EC"}}, '"crv" is missing'
    yield {"jwk": {"kty": "oct", "k": "AAAA"}}, "symmetric"
    yield {"jwk": {"kty": "XX"}}, "RSA, EC or OKP"
    yield {"jwk": good | {"d": "AAAA"}}, "private"
    yield {"jwk": good | {"x": "AA"}}, "expected 32"
    yield {"jwk": good | {"x": b64(b"\1" * 32)}}, ""
    yield {"jwk": good | {"crv": "secp256k1"}}, "P-256"
    yield {"jwk": AccountKey("RS256", bits=1024).jwk}, "2048"


@pytest.mark.parametrize("body, hint", bad_jwks())
def test_a_bad_account_key_is_400(sandbox, admin, body, hint):
    refused(lambda: admin.post(f"customers/{sandbox['CUSTOMER']}/acme-accounts", body), 400, hint)


def test_an_account_for_an_unknown_customer_is_404(admin):
    refused(lambda: admin.post("customers/nobody/acme-accounts", {"jwk": AccountKey().jwk}), 404, "no such customer")


# Orders


def ids(items):
    return [each["id"] for each in items]


def order_id(reply):
    return reply.headers["Location"].rpartition("/")[2]


def test_orders_are_listed_newest_first_by_zone_customer_status_and_time(sandbox, admin, zone, client):
    before = datetime.datetime.utcnow().strftime("%FT%TZ")
    ready = order_id(client.new_order([f"ready.{zone}"]).expect(201))
    _, _, url = client.issue([f"valid.{zone}"])
    valid = url.rpartition("/")[2]
    sandbox.dns("gray", f"gray.{zone}")
    assert client.new_order([f"gray.{zone}"]).problem == "unauthorized"
    everything = admin.get(f"orders?zone={zone}")["items"]
    refused_one = everything[0]["id"]
    assert ids(everything) == [refused_one, valid, ready]
    for status, expected in (("refused", [refused_one]), ("valid", [valid]), ("ready", [ready]), ("invalid", []),
                             ("pending", []), ("processing", [])):
        assert ids(admin.get(f"orders?zone={zone}&status={status}")["items"]) == expected, status
    assert ids(flat(pages(admin, f"orders?zone={zone}&since={before}", 2))) == [refused_one, valid, ready]
    assert admin.get(f"orders?zone={zone}&since=2100-01-01T00:00:00Z")["items"] == []
    mine = ids(flat(pages(admin, f"orders?customer={sandbox['CUSTOMER']}&since={before}", 100)))
    assert {refused_one, valid, ready} <= set(mine)
    theirs = ids(flat(pages(admin, f"orders?customer={sandbox['CUSTOMER_2']}&since={before}", 100)))
    assert not {refused_one, valid, ready} & set(theirs)
    refused(lambda: admin.get(f"orders?zone={zone}&customer={sandbox['CUSTOMER_2']}"), 404, "no such zone")


def test_a_valid_order_shows_who_what_when_and_by_which_evidence(sandbox, admin, zone, client):
    name = f"www.{zone}"
    _, chain, url = client.issue([name])
    shown = admin.get(f"orders/{url.rpartition('/')[2]}")
    assert shown["status"] == "valid" and shown["identifiers"] == [name]
    assert shown["customer"] == admin.get(f"customers/{sandbox['CUSTOMER']}")["id"]
    assert client.kid.endswith(shown["account"])
    assert int(shown["serial"]) == load_chain(chain)[0].serial_number
    assert all(is_time(shown[each]) for each in ("created_at", "expires_at", "checked_at"))
    assert "error" not in shown
    evidence = shown["evidence"]
    assert evidence["queries"] and all(query["question"] for query in evidence["queries"] if "note" not in query)
    assert [finding["verdict"] for finding in evidence["names"]] == ["ok"]
    assert [finding["verdict"] for finding in evidence["zones"]] == ["ok"]
    assert "203.0.113." in json.dumps(evidence), "the edge's address was not seen"


def test_a_refused_attempt_is_kept_with_its_error_and_evidence(sandbox, admin, zone, client):
    name = f"gray.{zone}"
    sandbox.dns("gray", name)
    assert client.new_order([name]).problem == "unauthorized"
    (listed,) = admin.get(f"orders?zone={zone}&status=refused")["items"]
    shown = admin.get(f"orders/{listed['id']}")
    assert shown["status"] == "refused" and shown["identifiers"] == [name] and "serial" not in shown
    assert shown["error"]["type"].endswith(":unauthorized") and "198.51.100.20" in json.dumps(shown["error"])
    assert "198.51.100.20" in json.dumps(shown["evidence"]["queries"])
    assert [each["verdict"] for each in shown["evidence"]["names"]] == ["refused"]
    assert "evidence" not in listed


@pytest.mark.parametrize("query, status, hint", [
    ("status=done", 400, "pending, ready, processing, valid, invalid or refused"),
    ("since=yesterday", 400, "RFC 3339"), ("since=2026-13-01T00:00:00Z", 400, "RFC 3339"),
    ("zone=nobody-has-this.test", 404, "no such zone"),
])
def test_a_wrong_filter_of_orders_is_refused(admin, query, status, hint):
    refused(lambda: admin.get(f"orders?{query}"), status, hint)


@pytest.mark.parametrize("identifier", ["none", "x" * 500, "%00", "..%2Fzones"])
def test_an_unknown_order_is_refused(admin, identifier):
    with pytest.raises(AdminError) as caught:
        admin.get(f"orders/{identifier}")
    assert caught.value.status in (400, 404), caught.value


# Certificates


def serial_of(chain):
    return load_chain(chain)[0].serial_number


def test_a_certificate_is_found_by_its_serial_in_decimal_and_hex_with_its_pem(sandbox, admin, zone, client):
    _, chain, url = client.issue([f"www.{zone}", zone])
    leaf = load_chain(chain)[0]
    spellings = [str(leaf.serial_number), hex(leaf.serial_number), hex(leaf.serial_number).upper().replace("X", "x")]
    shown, *others = [admin.get(f"certificates/{each}") for each in spellings]
    assert all(other == shown for other in others)
    assert shown["serial"] == str(leaf.serial_number) and shown["status"] == "valid"
    assert load_chain(shown["pem"]) == [leaf]
    assert sorted(shown["names"]) == sorted([f"www.{zone}", zone])
    assert shown["order"] == url.rpartition("/")[2] and client.kid.endswith(shown["account"])
    assert shown["zones"] == [admin.get(f"zones/{zone}")["id"]]
    assert shown["not_after"] == leaf.not_valid_after.strftime("%FT%TZ")
    assert shown["not_before"] == leaf.not_valid_before.strftime("%FT%TZ")


@pytest.mark.parametrize("serial, status, hint", [
    ("abc", 400, "decimal"), ("-1", 400, "decimal"), ("0x", 400, "decimal"), ("0xzz", 400, "decimal"),
    ("1.5", 400, "decimal"), ("9" * 60, 400, "decimal"), ("12345", 404, "no such certificate"),
    ("0x1f", 404, "no such certificate"),
])
def test_a_wrong_serial_is_refused(admin, serial, status, hint):
    refused(lambda: admin.get(f"certificates/{serial}"), status, hint)
    refused(lambda: admin.post(f"certificates/{serial}/revoke"), status, hint)


def test_certificates_are_listed_by_zone_customer_status_and_expiry_in_pages(sandbox, admin, zone, client):
    serials = [str(serial_of(client.issue([f"n{number}.{zone}"])[1])) for number in range(5)]
    listed = pages(admin, f"certificates?zone={zone}", 2)
    assert [each["serial"] for each in flat(listed)] == serials[::-1]
    assert all("pem" not in each for each in flat(listed))
    admin.post(f"certificates/{serials[0]}/revoke", {"reason": "superseded"})

    def having(query):
        return [each["serial"] for each in flat(pages(admin, f"certificates?zone={zone}&{query}", 3))]

    assert having("status=revoked") == serials[:1]
    assert having("status=valid") == serials[:0:-1]
    assert having("status=expired") == [] and having("status=void") == []
    assert having("expires_before=2026-01-01T00:00:00Z") == []
    assert sorted(having("expires_before=2100-01-01T00:00:00Z")) == sorted(serials)
    assert having(f"customer={sandbox['CUSTOMER']}") == serials[::-1]
    mine = flat(pages(admin, f"certificates?customer={sandbox['CUSTOMER']}", 100))
    assert set(serials) <= {each["serial"] for each in mine}
    theirs = flat(pages(admin, f"certificates?customer={sandbox['CUSTOMER_2']}", 100))
    assert not set(serials) & {each["serial"] for each in theirs}


@pytest.mark.parametrize("query, status, hint", [
    ("status=good", 400, "valid, revoked, void or expired"), ("expires_before=soon", 400, "RFC 3339"),
    ("zone=nobody-has-this.test", 404, "no such zone"),
])
def test_a_wrong_filter_of_certificates_is_refused(admin, query, status, hint):
    refused(lambda: admin.get(f"certificates?{query}"), status, hint)


REASONS = {"unspecified": 0, "keyCompromise": 1, "affiliationChanged": 3, "superseded": 4,
           "cessationOfOperation": 5, "privilegeWithdrawn": 9}


@pytest.mark.parametrize("reason", [*REASONS, *REASONS.values(), None])
def test_a_certificate_is_revoked_for_a_reason_by_name_or_number(sandbox, admin, client, reason):
    serial = serial_of(client.issue([sandbox.name()])[1])
    answer = admin.post(f"certificates/{serial}/revoke", {} if reason is None else {"reason": reason})
    name = next(each for each in REASONS if reason in (each, REASONS[each])) if reason is not None else "unspecified"
    assert answer["status"] == "revoked" and answer["reason"] == name and answer["was_revoked_before"] is False
    shown = admin.get(f"certificates/{serial}")
    assert (shown["status"], shown["reason"], shown["revoked_at"]) == ("revoked", name, answer["revoked_at"])
    (record,) = [each for each in sandbox.ledger("revoked") if int(each["serial"], 16) == serial]
    assert record["reason"] == REASONS[name] and record["by"].startswith("admin:")


@pytest.mark.parametrize("reason", ["good", "KEYCOMPROMISE", "", 2, 6, 7, 8, 10, -1, 4.0, True, [], {}])
def test_a_wrong_reason_is_400_and_revokes_nothing(sandbox, admin, client, reason):
    serial = serial_of(client.issue([sandbox.name()])[1])
    refused(lambda: admin.post(f"certificates/{serial}/revoke", {"reason": reason}), 400, "keyCompromise")
    assert admin.get(f"certificates/{serial}")["status"] == "valid"


def test_revoking_again_keeps_the_first_time_and_reason(sandbox, admin, client):
    serial = serial_of(client.issue([sandbox.name()])[1])
    first = admin.post(f"certificates/{serial}/revoke", {"reason": "superseded"})
    again = admin.post(f"certificates/{serial}/revoke", {"reason": "cessationOfOperation"})
    assert again["was_revoked_before"] is True
    assert (again["reason"], again["revoked_at"]) == (first["reason"], first["revoked_at"])
    assert len([each for each in sandbox.ledger("revoked") if int(each["serial"], 16) == serial]) == 1


# The service itself


def test_stats_count_what_happens(sandbox, admin, customer):
    before = admin.get("stats")
    client = sandbox.client()
    chain = client.issue([sandbox.name()])[1]
    client.new_order([sandbox.name()]).expect(201)
    admin.post(f"certificates/{serial_of(chain)}/revoke")
    zone = sandbox.new_zone(is_delegated=False)
    after = admin.get("stats")
    grown = {key: after[key] - before[key] for key in ("customers", "zones", "accounts", "orders", "certificates",
                                                       "certificates_revoked")}
    assert grown == {"customers": 0, "zones": 1, "accounts": 1, "orders": 2, "certificates": 1,
                     "certificates_revoked": 1}
    for status, number in (("valid", 1), ("ready", 1), ("refused", 0), ("processing", 0)):
        assert after["orders_by_status"][status] - before["orders_by_status"][status] == number
    assert sum(after["zones_by_status"].values()) == after["zones"]
    assert after["signer"]["signatures"] - before["signer"]["signatures"] == 1
    assert after["signer"]["last_sequence"] > before["signer"]["last_sequence"]
    assert after["signer"]["intents_without_outcome"] == 0
    assert after["edge_sequence"] > before["edge_sequence"] and after["redis_memory_bytes"] > 0
    forget(admin, zone)
    client.close()


NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\\\|\\"|\\n)*"'
SAMPLE = re.compile(rf"({NAME})(?:\{{({LABEL}(?:,{LABEL})*)?,?\}})? (NaN|[+-]Inf|[-+]?[0-9.]+(?:e[-+]?[0-9]+)?)")


class Family:
    def __init__(self, name):
        self.name, self.help, self.type, self.samples = name, None, None, {}

    def suffixes(self):
        return ("_bucket", "_sum", "_count") if self.type == "histogram" else ("",)


def parse_metrics(text):
    """{family: Family} of the text exposition format 0.0.4; every deviation is an assertion."""
    assert text.endswith("\n") and "\r" not in text and "\n\n" not in text
    families, current = {}, None
    for line in text.splitlines():
        if line.startswith("#"):
            kind, name, rest = re.fullmatch(rf"# (HELP|TYPE) ({NAME}) (.+)", line).groups()
            if kind == "HELP":
                assert name not in families, f"two HELP lines of {name}, or its lines stand apart"
                current = families[name] = Family(name)
                current.help = rest
            else:
                assert current is not None and current.name == name, f"TYPE without its HELP: {line}"
                assert current.type is None and not current.samples, f"TYPE after samples: {line}"
                assert rest in ("counter", "gauge", "histogram"), line
                current.type = rest
            continue
        matched = SAMPLE.fullmatch(line)
        assert matched, f"not a sample: {line!r}"
        name, labels, value = matched.groups()
        assert current is not None and name in [current.name + suffix for suffix in current.suffixes()], \
            f"{line} does not belong to {current and current.name}"
        pairs = [re.fullmatch(r'(\w+)="(.*)"', each).groups() for each in re.findall(LABEL, labels or "")]
        assert len(dict(pairs)) == len(pairs), f"a label twice: {line}"
        key = (name, tuple(sorted(pairs)))
        assert key not in current.samples, f"a series twice: {line}"
        current.samples[key] = float(value)
    for family in families.values():
        check_family(family)
    return families


def check_family(family):
    assert family.type and family.help and family.samples, family.name
    assert family.name.endswith("_total") == (family.type == "counter"), f"{family.name} is a {family.type}"
    if family.type == "counter":
        assert all(value >= 0 for value in family.samples.values())
    if family.type != "histogram":
        return
    series = {tuple(pair for pair in labels if pair[0] != "le") for _, labels in family.samples}
    for labels in series:
        buckets = [(float(dict(found)["le"]), value) for (name, found), value in family.samples.items()
                   if name.endswith("_bucket") and tuple(pair for pair in found if pair[0] != "le") == labels]
        assert [bound for bound, _ in buckets] == sorted({bound for bound, _ in buckets}), labels
        counts = [count for _, count in buckets]
        assert counts == sorted(counts) and buckets[-1][0] == float("inf"), labels
        assert counts[-1] == family.samples[f"{family.name}_count", labels]
        assert family.samples[f"{family.name}_sum", labels] >= 0


def scrape(admin):
    status, headers, text = admin.fetch("GET", "/metrics")
    assert status == 200 and headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return parse_metrics(text.decode())


def value(families, name):
    return sum(families[name].samples.values())


def test_metrics_are_strict_prometheus_text(sandbox, admin, client):
    client.issue([sandbox.name()])
    families = scrape(admin)
    assert {"originca_step_seconds", "originca_worker_ready"} <= set(families)
    assert value(families, "originca_metrics_overflow_total") == 0


def test_metrics_count_and_hold_every_alarm_of_the_operators_guide(sandbox, admin, client):
    guide = (Path(__file__).resolve().parents[2] / "doc" / "operations.md").read_text()
    alarms = re.findall(r"\| `(originca_\w+)`", guide)
    before = scrape(admin)
    assert alarms and set(alarms) <= set(before)
    serial = serial_of(client.issue([sandbox.name()])[1])
    admin.post(f"certificates/{serial}/revoke")
    after = scrape(admin)
    for name in ("originca_signatures_total", "originca_revocations_total"):
        assert value(after, name) == value(before, name) + 1, name
    for name, family in before.items():
        if family.type == "counter":
            # Those of a worker are as new as that worker's last answer.
            assert all(after[name].samples[key] >= number for key, number in family.samples.items()), name
    steps = dict.fromkeys(dict(labels)["step"] for _, labels in after["originca_step_seconds"].samples)
    assert {"claim the order", "sign", "record"} <= set(steps)


def test_healthz_and_readyz_say_that_all_is_well(admin):
    for method in ("GET", "HEAD"):
        assert admin.fetch(method, "/healthz")[0] == 200
        assert admin.fetch(method, "/readyz")[0] == 200
    assert json.loads(admin.fetch("GET", "/healthz")[2]) == {"status": "ok"}
    ready = json.loads(admin.fetch("GET", "/readyz")[2])
    assert ready == {"ready": True, **{part: {"ok": True} for part in ("redis", "ledger", "signer", "issuers", "dns", "workers")}}


def test_orders_wait_while_the_signer_of_this_host_is_stopped_which_readyz_says(sandbox, admin, client):
    name = sandbox.name()
    order = client.new_order([name]).expect(201)
    csr = make_csr(make_key("p256"), [name])
    revocable = serial_of(client.issue([sandbox.name()])[1])
    try:
        for _ in range(2):
            assert admin.post("signing", {"allowed": False, "only": "this-host"}) == {"allowed": False, "only": "this-host"}
        status, _, text = admin.fetch("GET", "/readyz")
        assert status == 503 and "stopped by an operator" in json.loads(text)["signer"]["reason"]
        assert admin.get("stats")["signer"]["signing_allowed"] is False
        assert sandbox.admin_command("health", check=False).returncode == 1
        reply = client.finalize(order.json, csr).expect(200)
        assert reply.json["status"] == "processing" and reply.headers["Retry-After"].isdigit()
        assert client.post(order.headers["Location"]).json["status"] == "processing"
        assert admin.post(f"certificates/{revocable}/revoke")["status"] == "revoked"
    finally:
        for _ in range(2):
            assert admin.post("signing", {"allowed": True, "only": "this-host"}) == {"allowed": True, "only": "this-host"}
    sandbox.wait_ready()
    assert wait_until(lambda: client.post(order.headers["Location"]).json["status"] == "valid", 60, pause=0.3)


@pytest.mark.parametrize("body, words", [({}, "true or false"), ({"allowed": "no"}, "true or false"), ({"allowed": 0}, "true or false"),
                                         ({"allowed": None}, "true or false"), ([], "JSON object")])
def test_a_signing_call_that_does_not_say_which_changes_nothing(admin, body, words):
    refused(lambda: admin.call("POST", "signing", body), 400, words)
    assert admin.get("stats")["signer"]["signing_allowed"] is True


def test_a_loss_that_did_not_happen_cannot_be_confirmed(admin):
    refused(lambda: admin.post("ledger/confirm-loss"), 409, "nothing is lost")


# The command line


@pytest.fixture
def command(sandbox):
    """originca admin …: the data of --json, or the text of a refusal."""

    def run_json(*arguments):
        result = sandbox.admin_command("--json", *arguments)
        assert result.stderr == "", result.stderr
        return json.loads(result.stdout)

    return run_json


def fails(sandbox, status, *arguments, words=()):
    result = sandbox.admin_command(*arguments, check=False)
    assert result.returncode == status, f"exit {result.returncode}: {result.stdout}{result.stderr}"
    assert result.stdout == "", "an error belongs on standard error"
    assert result.stderr.strip() and "Traceback" not in result.stderr
    for word in words:
        assert word in result.stderr, result.stderr
    return result.stderr


def test_the_command_line_onboards_a_customer_and_takes_the_zone_off_again(sandbox, command):
    customer, zone = fresh(), f"{fresh('cli')}.test"
    made = command("customer", "add", customer)
    assert made["name"] == customer
    assert command("customer", "show", customer) == command("customer", "show", made["id"]) == made
    assert made in command("customer", "list", "--all")
    added = command("zone", "add", zone, "--customer", customer)
    assert added["status"] == "pending"
    told = sandbox.admin_command("zone", "show", zone).stdout
    assert "set the name servers" in told and all(server in told for server in added["name_servers"])
    sandbox.dns("delegate", zone)
    assert wait_until(lambda: command("zone", "check", zone)["status"] == "active", 20, pause=0.3)
    assert command("zone", "show", zone)["evidence"]["queries"]
    assert [each["name"] for each in command("zone", "list", "--customer", customer)] == [zone]
    assert command("zone", "pause", zone)["status"] == "paused"
    assert command("zone", "resume", zone)["status"] == "active"
    assert command("zone", "delete", zone)["status"] == "deleted"
    assert command("zone", "list", "--customer", customer) == []


def test_the_command_line_makes_lists_and_revokes_binding_keys(sandbox, command):
    customer = fresh()
    command("customer", "add", customer)
    key = command("eab", "add", customer)
    try_to_register(sandbox, key).expect(201)
    assert [(each["kid"], each["revoked"]) for each in command("eab", "list", customer)] == [(key["kid"], False)]
    assert key["hmac"] not in sandbox.admin_command("eab", "list", customer).stdout
    assert command("eab", "delete", key["kid"], "--customer", customer)["revoked"] is True
    assert [each["revoked"] for each in command("eab", "list", customer)] == [True]
    shown = sandbox.admin_command("eab", "add", customer).stdout
    assert "key id" in shown and "HMAC key" in shown


@pytest.mark.parametrize("shape", ["private JWK", "public JWK", "private PEM", "public PEM"])
@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
def test_the_command_line_binds_the_account_key_that_a_client_keeps(sandbox, command, tmp_path, algorithm, shape):
    key = AccountKey(algorithm)
    path = tmp_path / "account.key"
    if shape.endswith("JWK"):
        secret = {"d": b64(secrets.token_bytes(32))} if shape.startswith("private") else {}
        path.write_text(json.dumps(key.jwk | secret))
    elif shape.startswith("private"):
        path.write_bytes(key.pem())
    else:
        path.write_bytes(key.private.public_key().public_bytes(serialization.Encoding.PEM,
                                                               serialization.PublicFormat.SubjectPublicKeyInfo))
    account = command("acme-account", "add", "--jwk", str(path), "--customer", sandbox["CUSTOMER"])
    assert account["thumbprint"] == key.thumbprint
    client = bound_client(sandbox, key, account)
    client.issue([sandbox.name()])
    client.close()


def test_the_command_line_shows_orders_with_their_evidence(sandbox, command, zone, client):
    name = f"gray.{zone}"
    sandbox.dns("gray", name)
    assert client.new_order([name]).problem == "unauthorized"
    client.issue([f"www.{zone}"])
    listed = command("order", "list", "--zone", zone)
    assert [each["status"] for each in listed] == ["valid", "refused"]
    (refused_one,) = command("order", "list", "--zone", zone, "--status", "refused")
    assert command("order", "show", refused_one["id"])["evidence"]["queries"]
    text = sandbox.admin_command("order", "show", refused_one["id"]).stdout
    for word in ("refused", name, "198.51.100.20", "asked for", "urn:ietf:params:acme:error:unauthorized"):
        assert word in text, text
    table = sandbox.admin_command("order", "list", "--zone", zone).stdout.splitlines()
    assert table[0].split() == ["ORDER", "STATUS", "IDENTIFIERS", "CUSTOMER", "CREATED"] and len(table) == 3


def test_the_command_line_pages_and_says_that_there_is_more(sandbox, command, zone, client):
    for number in range(3):
        client.issue([f"n{number}.{zone}"])
    assert len(command("cert", "list", "--zone", zone, "--limit", "2")) == 2
    assert len(command("cert", "list", "--zone", zone, "--limit", "2", "--all")) == 3
    short = sandbox.admin_command("cert", "list", "--zone", zone, "--limit", "2")
    assert "--all" in short.stderr and len(short.stdout.splitlines()) == 3


def test_a_serial_is_taken_as_openssl_and_browsers_print_it(sandbox, admin, command, zone, client):
    certificates = [load_chain(client.issue([f"n{number}.{zone}"])[1])[0] for number in range(6)]
    spellings = [lambda text: f"serial={text}", lambda text: text, str.lower, lambda text: ":".join(re.findall("..", text)),
                 lambda text: "0x0000" + text, lambda text: hex(int(text, 16))]
    for leaf, spell in zip(certificates, spellings):
        text = spell(f"{leaf.serial_number:032X}")
        for shown in (command("cert", "show", text), admin.get(f"certificates/{text}")):
            assert (shown["serial"], shown["status"]) == (str(leaf.serial_number), "valid"), text
        assert admin.post("revocations", {"selection": {"serials": [text]}, "dry_run": True})["count"] == 1, text
        revoked = command("cert", "revoke", text, "--reason", "superseded")
        assert (revoked["serial"], revoked["status"]) == (str(leaf.serial_number), "revoked"), text
    for slip in ("0a:1b:", "12ab", "serial=", "0x"):
        said = sandbox.admin_command("cert", "revoke", slip, "--reason", "superseded", check=False)
        assert said.returncode == 2 and "0x0a1b" in said.stderr, slip


def places(leaf):
    """Its OCSP address and that of its list, or None."""
    extensions = {type(each.value).__name__: each.value for each in leaf.extensions}
    ocsp = [each.access_location.value for each in extensions.get("AuthorityInformationAccess", ())
            if each.access_method._name == "OCSP"]
    lists = [each.full_name[0].value for each in extensions.get("CRLDistributionPoints", ())]
    return next(iter(ocsp), None), next(iter(lists), None)


def test_the_command_line_revokes_a_certificate(sandbox, command, zone, client):
    leaf = load_chain(client.issue([f"www.{zone}"])[1])[0]
    shown = sandbox.admin_command("cert", "show", str(leaf.serial_number)).stdout
    assert load_chain(shown[shown.index("-----BEGIN"):]) == [leaf]
    key = leaf.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert re.search(rf"^key SHA-256 +{hashlib.sha256(key).hexdigest()}$", shown, re.M)
    ocsp, lists = places(leaf)
    assert re.search(rf"^OCSP +{re.escape(ocsp or 'none named')}$", shown, re.M), shown
    assert re.search(rf"^list +{re.escape(lists or 'none named')}", shown, re.M) and "in the list" not in shown, shown
    said = sandbox.admin_command("cert", "revoke", hex(leaf.serial_number))
    assert "no --reason was given: it is revoked as unspecified" in said.stderr and re.search(r"^reason +unspecified$", said.stdout, re.M)
    said = sandbox.admin_command("cert", "revoke", hex(leaf.serial_number), "--reason", "1")
    assert "WARNING: keyCompromise also blocks its key, for everybody" in said.stderr
    assert re.search(r"^reason +keyCompromise$", said.stdout, re.M)
    assert wait_until(lambda: re.search(r"^in the list +yes \(number \d+ of ",
                                        sandbox.admin_command("cert", "show", str(leaf.serial_number)).stdout, re.M), 30)
    assert command("cert", "show", str(leaf.serial_number))["status"] == "revoked"
    assert [each["serial"] for each in command("cert", "list", "--zone", zone, "--status", "revoked")] == \
           [str(leaf.serial_number)]
    before = command("cert", "list", "--zone", zone, "--expires-before", "2026-01-01T00:00:00Z")
    assert before == []


def test_the_command_line_stops_and_allows_signing(sandbox, command):
    try:
        assert command("signing", "stop") == {"allowed": False}
        stopped = sandbox.admin_command("health", check=False)
        assert stopped.returncode == 1 and "issuance is stopped for everybody" in stopped.stdout
    finally:
        assert command("signing", "allow") == {"allowed": True}
    well = sandbox.admin_command("health")
    assert well.stdout.splitlines()[0] == "ready"
    assert command("health")["ready"] is True


def test_the_command_line_prints_stats_and_metrics(sandbox, admin, command):
    assert set(command("stats")) == set(admin.get("stats"))
    parse_metrics(sandbox.admin_command("metrics").stdout)


@pytest.mark.parametrize("arguments, words", [
    (["customer", "add", "alice"], ["exists already"]),
    (["customer", "add", "a b"], ["letters, digits"]),
    (["customer", "show", "nobody"], ["no such customer"]),
    (["zone", "add", "co.uk", "--customer", "alice"], ["public suffix"]),
    (["zone", "add", "x.test", "--customer", "nobody"], ["no such customer"]),
    (["zone", "show", "nobody-has-this.test"], ["no such zone"]),
    (["zone", "list", "--limit", "0"], ["1 to 1000"]),
    (["eab", "delete", "none", "--customer", "alice"], ["binding key"]),
    (["order", "list", "--status", "done"], ["refused"]),
    (["order", "list", "--since", "yesterday"], ["RFC 3339"]),
    (["order", "show", "none"], ["no such order"]),
    (["order", "show", "a?b=c#d%20"], ["no such order"]), (["order", "show", "a/b"], ["refused the request"]),
    (["cert", "list", "--expires-before", "soon"], ["RFC 3339"]),
    (["cert", "revoke", "12345"], ["no such certificate"]),
    (["cert", "revoke", "12345", "--reason", "good"], ["keyCompromise"]),
    (["ledger", "confirm-loss"], ["nothing is lost"]),
])
def test_what_the_server_refuses_is_exit_1_with_its_reason_on_stderr(sandbox, arguments, words):
    fails(sandbox, 1, *arguments, words=["originca: ", *words])
    fails(sandbox, 1, "--json", *arguments, words=words)


@pytest.mark.parametrize("arguments, words", [
    ([], ["originca --help"]), (["customer"], ["originca --help"]), (["nothing", "list"], ["originca --help"]),
    (["zone", "nothing", "x"], ["originca --help"]), (["customer", "add"], ["Usage", "NAME"]),
    (["customer", "add", "a", "b"], ["Usage", "NAME"]), (["zone", "show"], ["Usage", "NAME"]),
    (["cert", "revoke"], ["Usage", "SERIAL"]), (["stats", "x"], ["Usage"]),
    (["zone", "add", "x.test"], ["--customer is needed"]), (["eab", "delete", "x"], ["--customer is needed"]),
    (["acme-account", "add", "--customer", "alice"], ["--jwk is needed"]),
    (["acme-account", "add", "--jwk", "/nothing", "--customer", "alice"], ["cannot read /nothing"]),
    (["acme-account", "add", "--jwk", "/etc/hostname", "--customer", "alice"], ["neither a JWK nor a PEM"]),
    (["zone", "list", "--nothing"], ["--nothing", "originca --help"]), (["zone", "list", "--limit"], ["argument"]),
    (["cert", "show", "abc"], ["decimal"]),
])
def test_wrong_usage_is_exit_2_and_says_what_is_right(sandbox, arguments, words):
    fails(sandbox, 2, *arguments, words=words)


@pytest.mark.parametrize("arguments, words", [
    ("signing stop --customer alice", "--customer"), ("signing stop --issuer ecc", "--issuer"),
    ("signing allow --customer bob", "--customer"), ("issuance stop --account x", "--account"),
    ("issuance stop --customer alice --this-host", "--this-host"), ("issuance stop --zone a --zone b", "given twice"),
    ("customer suspend alice --zone blog.test", "--zone"), ("cert revoke --customer alice --zones blog.test --yes", "--zones"),
    ("cert revoke --customer alice --since 2026-01-01T00:00:00Z --yes", "--since"),
    ("cert revoke --customer alice --status valid --yes", "--status"), ("cert revoke --customer alice --limit 1 --yes", "--limit"),
    ("cert revoke --customer alice --customer bob --yes", "given twice"), ("cert revoke --customer alice --name x --yes", "--name"),
    ("replace --customer alice --zones blog.test --over 1h --yes", "--zones"), ("zone delete x.test --yes", "--yes"),
])
def test_an_option_that_a_command_does_not_know_is_not_passed_over(sandbox, arguments, words):
    """It was to bound what the command does."""
    fails(sandbox, 2, *arguments.split(), "--reason", "superseded", words=[words]) if "cert revoke" in arguments else \
        fails(sandbox, 2, *arguments.split(), words=[words])
    assert sandbox.admin.get("issuance")["items"] == []


def test_behind_two_dashes_there_are_words_alone(sandbox):
    fails(sandbox, 2, "signing", "stop", "--", "--this-host", words=["Usage"])
    client = sandbox.client()
    serials = [str(load_chain(client.issue([sandbox.name()])[1])[0].serial_number) for _ in range(2)]
    sandbox.admin_command("cert", "revoke", serials[0], "--reason", "superseded", "--yes", "--", serials[1])
    assert {sandbox.admin.get(f"certificates/{serial}")["status"] for serial in serials} == {"revoked"}
    assert sandbox.admin.get("issuance")["items"] == []


def program():
    return Path(os.environ["ORIGINCA_BUILD"]) / "cli" / "originca"


def test_a_server_that_is_not_there_is_exit_3_and_names_the_socket(tmp_path):
    missing = tmp_path / "admin.sock"
    result = run([program(), "admin", "--socket", missing, "zone", "list"], check=False)
    assert result.returncode == 3 and str(missing) in result.stderr and "is it running" in result.stderr
    result = run([program(), "admin", "health"], {"ORIGINCA_ADMIN_SOCKET": str(missing)}, check=False)
    assert result.returncode == 3 and str(missing) in result.stderr


def test_help_lists_every_command_and_the_exit_statuses(sandbox):
    usage = run([program(), "--help"]).stdout
    for words in ("customer add NAME", "zone add NAME --customer C", "zone check NAME", "zone pause NAME",
                  "zone resume NAME", "zone delete NAME", "eab add CUSTOMER", "eab delete KID --customer C",
                  "acme-account add --jwk FILE --customer C", "order list", "order show ID", "cert list",
                  "cert revoke SERIAL", "stats", "health", "metrics", "signing stop", "signing allow",
                  "ledger confirm-loss", "--json", "--socket", "--limit", "--all", "Exit status"):
        assert words in usage, words
    assert sandbox.admin_command("zone", "add", "--help").stdout == usage
    assert re.fullmatch(r"originca \d+\.\d+\.\d+\n", run([program(), "--version"]).stdout)
