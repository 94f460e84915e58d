"""No DNS check that a client can trigger is free: whichever request made it, a failed one pauses its name, and all of them
count. `replaces` lets a due renewal pass once and exempts from none of this."""

import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
from cryptography import x509

from acme_raw import AccountKey, AcmeClient, certificate_id, compact, make_csr, make_jws, make_key
from conftest import _started
from rest_client import RestClient, service_key
from rest_client import make_csr as make_rest_csr
from test_no_eab import challenge_of, text_for
from under_test import silent_name_servers, wait_until
from verify import der_of

PER_NAME, PER_ZONE, PER_CUSTOMER, FAILED, ORDERS = 10, 150, 400, 60, 60
PRODUCTION = ("--limits", "production", "--workers", "2", "--set", "limits.accounts_per_address=0",
              "--set", "limits.failed_check_pause_seconds=3", "--set", "acme.recheck_after_seconds=0")
SANDBOX_OPTIONS = (*PRODUCTION, "--set", f"limits.checks_per_name={PER_NAME}", "--set", f"limits.checks_per_zone={PER_ZONE}",
                   "--set", f"limits.checks_per_customer={PER_CUSTOMER}", "--set", "limits.checks_window_seconds=3600",
                   "--set", f"limits.failed_checks_per_customer={FAILED}", "--set", f"limits.orders_per_customer={ORDERS}",
                   "--set", "limits.orders_window_seconds=86400", "--set", "dns.dns_deadline_ms=1500",
                   "--set", "dns.dns_share_ms=0", "--set", "dns.zone_pending_interval_seconds=3600")


@pytest.fixture
def customer(own_sandbox):
    made = own_sandbox.new_customer()
    made.rest = RestClient(own_sandbox["API_URL"], own_sandbox["CA_BUNDLE"], service_key(made.api_key))
    yield made
    made.client.close()


def limited(reply, words, wait=1):
    assert reply.status == 429 and reply.problem == "rateLimited", reply.text
    assert words in reply.json["detail"], reply.text
    assert int(reply.headers["Retry-After"]) >= wait
    return reply


def hammer(send):
    """Sixty tries of what DNS refuses: nearly all are told to wait. (A slow machine sees a pause end.)"""
    statuses = [send().status for _ in range(60)]
    assert set(statuses) <= {403, 429} and statuses.count(403) <= 3, statuses


class Count:
    """The DNS queries of the server since it was made."""

    def __init__(self, sandbox):
        self.sandbox, self.start = sandbox, self.now(sandbox)

    @staticmethod
    def now(sandbox):
        time.sleep(1.2)  # workers publish their counters once a second
        return sandbox.admin.metrics().get("originca_dns_queries_total", 0)

    @property
    def queries(self):
        return self.now(self.sandbox) - self.start


def issue_and_revoke(client, names):
    """The certID of a certificate whose renewal is due at once."""
    leaf = x509.load_pem_x509_certificate(client.issue(names)[1].encode())
    client.revoke(der_of(leaf), 4).expect(200)
    return certificate_id(leaf)


def use_up_orders(client, zone):
    for _ in range(ORDERS + 1):
        reply = client.new_order([f"x{time.monotonic_ns()}.{zone}"])
        if reply.status == 429:
            break
    limited(reply, "orders of one customer")


def test_finalize_pauses_a_failed_name_and_the_order_stays_ready(own_sandbox, customer):
    name, client = f"www.{customer.zone}", customer.client
    reply = client.new_order([name]).expect(201)
    order, csr = reply.json, make_csr(make_key("p256"), [name])
    own_sandbox.dns("gray", name)
    count = Count(own_sandbox)
    assert client.finalize(order, csr).problem == "unauthorized"
    limited(client.finalize(order, csr), name)
    limited(client.new_order([name.upper()]), name)
    customer.rest.create([name]).expect_error(429, 971, name)
    hammer(lambda: client.finalize(order, csr))
    assert count.queries <= 60, count.queries
    assert client.post(reply.headers["Location"]).json["status"] == "ready"
    own_sandbox.dns("proxy", name)
    assert wait_until(lambda: client.finalize(order, csr).status == 200, 40, pause=0.5)


def test_checks_that_go_well_and_come_to_nothing_are_paced_too(own_sandbox, customer):
    """A key known as compromised is refused only after the check, and leaves the order ready."""
    client, zone = customer.client, customer.zone
    bad = make_key("p256")
    order = client.new_order([f"a.{zone}"]).expect(201).json
    done = client.finalize(order, make_csr(bad, [f"a.{zone}"])).expect(200).json
    leaf = x509.load_pem_x509_certificate(client.post(done["certificate"]).text.encode())
    client.revoke(der_of(leaf), 1, AccountKey(private=bad)).expect(200)
    name = f"b.{zone}"
    order, csr = client.new_order([name]).expect(201).json, make_csr(bad, [name])
    replies = [client.finalize(order, csr) for _ in range(PER_NAME + 5)]
    assert 200 not in [reply.status for reply in replies]
    limited(replies[-1], f"DNS checks of {name}")
    name, csr = f"c.{zone}", make_rest_csr(bad)
    answers = [customer.rest.create([name], csr) for _ in range(PER_NAME + 5)]
    assert 200 not in [answer.status for answer in answers]
    answers[-1].expect_error(429, 971, f"DNS checks of {name}")
    assert int(answers[-1].headers["Retry-After"]) >= 1


def test_parallel_orders_of_a_failing_name_are_few(own_sandbox, customer):
    """All of them arrive before the first one has failed."""
    name, racers = f"www.{customer.zone}", [customer.client.twin() for _ in range(20)]
    for racer in racers:
        racer.nonce = racer.take_nonce()
    with silent_name_servers(own_sandbox), ThreadPoolExecutor(20) as pool:
        replies = list(pool.map(lambda racer: racer.new_order([name]), racers))
        for racer in racers:
            racer.close()
        statuses = [reply.status for reply in replies]
        assert set(statuses) == {400, 429} and statuses.count(400) <= PER_NAME, statuses
        assert int(limited(customer.client.new_order([name]), name).headers["Retry-After"]) <= 3


def test_fresh_names_do_not_get_round_the_pause(own_sandbox, customer):
    own_sandbox.dns("gray", f"*.{customer.zone}")
    other = own_sandbox.new_zone(customer.id)
    for at in range(3):
        names = [f"n{at}-{k}.{customer.zone}" for k in range(FAILED // 4)]
        reply = customer.client.new_order(names) if at % 2 else customer.rest.create(names)
        assert reply.status in (400, 403), reply.body
    assert customer.client.new_order([f"m{k}.{customer.zone}" for k in range(FAILED // 4)]).problem == "unauthorized"
    limited(customer.client.new_order([f"o.{customer.zone}"]), "whose DNS check failed")
    customer.rest.create([f"p.{other}"]).expect_error(429, 971, "whose DNS check failed")
    own_sandbox.client(2).new_order([f"q.{own_sandbox['ZONE_2']}"]).expect(201)


def test_checks_of_a_zone_and_of_a_customer_are_bounded(own_sandbox, customer):
    zones, client = [customer.zone, *(own_sandbox.new_zone(customer.id) for _ in range(3))], customer.client
    client.new_order([f"n{k}.{zones[0]}" for k in range(100)]).expect(201)
    limited(client.new_order([f"m{k}.{zones[0]}" for k in range(100)]), "names of one zone checked in DNS")
    for zone in zones[1:]:
        client.new_order([f"n{k}.{zone}" for k in range(100)]).expect(201)
    limited(client.new_order([f"o{k}.{zones[1]}" for k in range(20)]), "names of one customer checked in DNS")


def test_who_hangs_up_before_the_answer_pauses_as_well(own_sandbox, customer):
    name, client = f"www.{customer.zone}", customer.client
    url = client.directory["newOrder"]
    with silent_name_servers(own_sandbox):
        body = make_jws(client.key, url, {"identifiers": [{"type": "dns", "value": name}]}, client.take_nonce(), client.kid)
        client.request("HEAD", client.directory["newNonce"])
        client.connection.request("POST", urlsplit(url).path, compact(body), {"Content-Type": "application/jose+json"})
        client.close()
        time.sleep(2)
        limited(customer.client.new_order([name]), name)


def test_a_due_renewal_passes_used_up_limits_once(own_sandbox, customer):
    client, zone = customer.client, customer.zone
    names = [f"a.{zone}", f"b.{zone}"]
    replaces = issue_and_revoke(client, names)
    use_up_orders(client, zone)
    first = client.new_order(names, replaces=replaces).expect(201)
    count = Count(own_sandbox)
    for _ in range(30):  # the same request is given the order that it made, and asks DNS nothing
        again = client.new_order(names, replaces=replaces).expect(201)
        assert again.headers["Location"] == first.headers["Location"]
    assert count.queries <= 40, count.queries
    client.post(first.json["authorizations"][0], {"status": "deactivated"}).expect(200)
    for _ in range(3):
        limited(client.new_order(names, replaces=replaces), "orders of one customer")


def test_of_parallel_renewals_of_one_certificate_one_is_exempt(own_sandbox, customer):
    client, zone = customer.client, customer.zone
    names = [f"{letter}.{zone}" for letter in "abcdefgh"]
    replaces = issue_and_revoke(client, names)
    use_up_orders(client, zone)
    racers = [client.twin() for _ in names]
    with ThreadPoolExecutor(len(names)) as pool:
        replies = list(pool.map(lambda racer, name: racer.new_order([name], replaces=replaces), racers, names))
    for racer in racers:
        racer.close()
    assert sorted(reply.status for reply in replies) == [201] + [429] * 7


def test_a_renewal_that_dns_refused_is_tried_again_after_its_pause(own_sandbox, customer):
    client, zone = customer.client, customer.zone
    names = [f"a.{zone}", f"b.{zone}"]
    replaces = issue_and_revoke(client, names)
    use_up_orders(client, zone)
    own_sandbox.dns("gray", names[0])
    count = Count(own_sandbox)
    assert client.new_order(names, replaces=replaces).problem == "unauthorized"
    limited(client.new_order(names, replaces=replaces), names[0])
    hammer(lambda: client.new_order(names, replaces=replaces))
    assert count.queries <= 60, count.queries
    own_sandbox.dns("proxy", names[0])
    assert wait_until(lambda: client.new_order(names, replaces=replaces).status == 201, 40, pause=0.5)
    limited(client.new_order([names[1]], replaces=replaces), "orders of one customer")


def test_a_chain_of_revoked_renewals_ends(own_sandbox, customer):
    client, name = customer.client, f"www.{customer.zone}"
    replaces = issue_and_revoke(client, [name])
    use_up_orders(client, customer.zone)
    leaf = x509.load_pem_x509_certificate(client.issue([name], replaces=replaces)[1].encode())
    client.revoke(der_of(leaf), 4).expect(200)
    limited(client.new_order([name], replaces=certificate_id(leaf)), "orders of one customer")


def test_orders_for_names_of_no_zone_count_as_any_other(customer):
    replies = [customer.client.new_order([f"n{at}.nobodys.test", f"o{at}.nobodys.test"]) for at in range(ORDERS + 1)]
    assert {reply.status for reply in replies[:-1]} == {403}
    assert "subproblems" not in limited(replies[-1], "orders of one customer").json
    limited(customer.client.new_order([f"www.{customer.zone}"]), "orders of one customer")


PER_ZONE_OPEN = 8


@pytest.fixture(scope="module")
def open_sandbox(tmp_path_factory):
    """Anybody may have an account."""
    sandbox = _started(tmp_path_factory, "open", "--no-eab", *PRODUCTION, "--set", "dns.dns_share_ms=0",
                       "--set", f"limits.names_per_zone={PER_ZONE_OPEN}", "--set", f"limits.checks_per_zone={PER_ZONE_OPEN}",
                       "--set", "limits.checks_window_seconds=3600")
    yield sandbox
    sandbox.down()


def strangers(sandbox, count):
    clients = [AcmeClient(sandbox["DIRECTORY_URL"], sandbox["CA_BUNDLE"]) for _ in range(count)]
    for client in clients:
        client.register().expect(201)
    return clients


def test_challenges_are_paced_by_the_address_that_sends_them(open_sandbox):
    clients, name = strangers(open_sandbox, 3), f"www.{open_sandbox.new_zone()}"
    open_sandbox.dns("proxy", name)
    orders = [client.new_order([name]).expect(201).json for client in clients]
    challenges = [challenge_of(client, order)[1] for client, order in zip(clients, orders)]
    clients[0].post(challenges[0]["url"], {}).expect(200)
    assert clients[0].post(orders[0]["authorizations"][0]).json["status"] == "invalid"
    for client, challenge in list(zip(clients, challenges))[1:]:
        limited(client.post(challenge["url"], {}), name)
    limited(clients[0].new_order([name]), name)
    open_sandbox.dns("add-txt", f"_acme-challenge.{name}", text_for(clients[1], challenges[1]))
    assert clients[1].post(orders[1]["authorizations"][0]).json["status"] == "pending"
    assert wait_until(lambda: clients[1].post(challenges[1]["url"], {}).status == 200, 40, pause=0.5)
    assert clients[1].post(orders[1]["authorizations"][0]).json["status"] == "valid"


def test_strangers_do_not_use_up_the_limits_of_a_zones_customer(open_sandbox):
    owner = open_sandbox.new_customer()
    zone = owner.zone
    first, second = strangers(open_sandbox, 2)
    order = first.new_order([f"s{at}.{zone}" for at in range(PER_ZONE_OPEN)]).expect(201).json
    limited(second.new_order([f"more.{zone}"]), "names ordered below one zone")
    for authorization in order["authorizations"]:
        first.post(first.post(authorization).json["challenges"][0]["url"], {}).expect(200)
    owner.client.new_order([f"own{at}.{zone}" for at in range(PER_ZONE_OPEN)]).expect(201)
    limited(owner.client.new_order([f"more.{zone}"]), "names ordered below one zone")
