"""Rate limits: told by name, with the time to wait; shared by all workers; a renewal inside its window takes none, once."""

import time

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from acme_raw import AcmeClient, certificate_id
from rest_client import RestClient, make_csr as rest_csr, rest, service_key
from under_test import wait_until
from verify import der_of, load_chain

ORDERS, ACCOUNTS, NAMES, REVOCATIONS, OF_A_DAY = 12, 9, 40, 4, 7
SANDBOX_OPTIONS = ("--limits", "production", "--workers", "2", "--set", f"limits.accounts_per_address={ACCOUNTS}", "--set",
                   f"limits.orders_per_customer={ORDERS}", "--set", "limits.orders_window_seconds=60", "--set",
                   f"limits.names_per_zone={NAMES}", "--set", "limits.names_window_seconds=3600", "--set",
                   "limits.failed_check_pause_seconds=2", "--set", f"limits.revocations_per_customer={REVOCATIONS}", "--set",
                   "limits.revocations_window_seconds=8", "--set", f"limits.revocations_per_customer_day={OF_A_DAY}")


def is_limited(reply, words):
    assert reply.status == 429 and reply.problem == "rateLimited", reply.text
    assert words in reply.json["detail"], reply.text
    wait = int(reply.headers["Retry-After"])
    assert wait >= 1
    return wait


def test_orders_of_a_customer_are_limited_and_come_back(own_sandbox):
    clients = [own_sandbox.client(), own_sandbox.client()]  # of one customer: they share the limit
    made, reply = 0, None
    for at in range(ORDERS + 2):
        reply = clients[at % 2].new_order([own_sandbox.name()])
        if reply.status == 429:
            break
        reply.expect(201)
        made += 1
    assert ORDERS <= made <= ORDERS + 1
    wait = is_limited(reply, "orders of one customer")
    assert wait <= 60 // ORDERS + 1
    assert own_sandbox.client(2).new_order([own_sandbox.name(own_sandbox["ZONE_2"])]).status == 201
    assert wait_until(lambda: clients[0].new_order([own_sandbox.name()]).status == 201, wait + 5, pause=1)


def test_names_below_a_zone_are_limited_and_nothing_is_taken_by_a_refusal(own_sandbox):
    client = own_sandbox.client(2)
    zone = own_sandbox.new_zone(own_sandbox["CUSTOMER_2"])
    client.new_order([f"a{at}.{zone}" for at in range(NAMES - 1)]).expect(201)
    is_limited(client.new_order([f"b{at}.{zone}" for at in range(2)]), "names ordered below one zone")
    client.new_order([f"c.{zone}"]).expect(201)


def test_a_failed_check_pauses_the_name_ever_longer(own_sandbox):
    client = own_sandbox.client(2)
    zone = own_sandbox.new_zone(own_sandbox["CUSTOMER_2"])
    name = f"gray.{zone}"
    own_sandbox.dns("gray", name)
    assert client.new_order([name]).problem == "unauthorized"
    first = is_limited(client.new_order([name]), name)
    client.new_order([f"www.{zone}"]).expect(201)  # the others go on
    assert wait_until(lambda: client.new_order([name]).problem == "unauthorized", 20, pause=0.5)
    assert is_limited(client.new_order([name]), name) > first
    own_sandbox.dns("proxy", name)
    assert wait_until(lambda: client.new_order([name]).status == 201, 30, pause=0.5)


def test_renewals_in_their_window_take_nothing(own_sandbox):
    """A revoked certificate's window is in the past: its replacement is ordered although the limit is reached."""
    client = own_sandbox.client(2)
    zone = own_sandbox.new_zone(own_sandbox["CUSTOMER_2"])
    name = f"www.{zone}"
    leaf = x509.load_pem_x509_certificate(client.issue([name])[1].encode())
    client.revoke(leaf.public_bytes(Encoding.DER), 4).expect(200)
    while client.new_order([f"x{time.monotonic_ns()}.{zone}"]).status == 201:
        pass
    client.new_order([name], replaces=certificate_id(leaf)).expect(201)


def test_a_renewal_pays_for_the_names_that_its_certificate_has_not(own_sandbox):
    customer = own_sandbox.new_customer()
    client, zone = customer.client, customer.zone
    leaf = x509.load_pem_x509_certificate(client.issue([f"www.{zone}"])[1].encode())
    client.revoke(leaf.public_bytes(Encoding.DER), 4).expect(200)
    client.new_order([f"a{at}.{zone}" for at in range(NAMES - 20)]).expect(201)  # 19 are left, and no order after these:
    other = own_sandbox.new_zone(customer.id)
    while client.new_order([f"x{time.monotonic_ns()}.{other}"]).status == 201:
        pass
    names = [f"www.{zone}", *(f"b{at}.{zone}" for at in range(20))]
    is_limited(client.new_order(names, replaces=certificate_id(leaf)), "names ordered below one zone")
    client.new_order(names[:20], replaces=certificate_id(leaf)).expect(201)
    is_limited(client.new_order([f"c.{zone}"]), "of one customer")
    is_limited(client.new_order(names[:19], replaces=certificate_id(leaf)), "of one customer")


def test_revocations_of_a_customer_are_limited_and_those_of_others_are_not(own_sandbox):
    """By ACME and REST together, by whose certificate it is; an operator's are none of them."""
    customer, other = own_sandbox.new_customer(), rest(own_sandbox, 2)
    client = customer.client
    api = RestClient(own_sandbox["API_URL"], own_sandbox["CA_BUNDLE"], service_key(customer.api_key))
    made = [api.create([f"r{at}.{customer.zone}"], request_type="origin-ecc", csr=rest_csr()).result for at in range(3)]
    leaves = [load_chain(client.issue([f"a{at}.{customer.zone}"])[1])[0] for at in range(OF_A_DAY + 1)]
    assert api.revoke(made[0]["id"]).status == 200
    done, wait = 1, None
    while wait is None:
        reply = client.revoke(der_of(leaves[done]))
        if reply.status == 429:
            wait = is_limited(reply, "revocations of one customer's certificates in 8 seconds")
        else:
            reply.expect(200)
            done += 1
    assert REVOCATIONS <= done <= REVOCATIONS + 1
    others = other.create([own_sandbox.name(own_sandbox["ZONE_2"])], request_type="origin-ecc", csr=rest_csr()).result
    assert other.revoke(others["id"]).status == 200
    assert wait <= 3 and wait_until(lambda: client.revoke(der_of(leaves[done])).status == 200, wait + 10, pause=1)
    done += 1
    own_sandbox.admin.post(f"certificates/{made[2]['id']}/revoke", {"reason": "superseded"})

    def is_day_over():
        nonlocal done
        reply = client.revoke(der_of(leaves[done]))
        done += reply.status == 200
        return reply.status == 429 and "in 86400 seconds" in reply.text

    assert wait_until(is_day_over, 60, pause=0.5)
    reply = api.revoke(made[1]["id"])
    assert reply.status == 429 and int(reply.headers["Retry-After"]) > 60


def test_new_accounts_of_an_address_are_limited(own_sandbox):
    replies = []
    for _ in range(ACCOUNTS + 2):
        client = AcmeClient(own_sandbox["DIRECTORY_URL"], own_sandbox["CA_BUNDLE"])
        replies.append(client.register(own_sandbox["EAB_KID"], own_sandbox["EAB_HMAC"]))
        client.close()
        if replies[-1].status == 429:
            break
    is_limited(replies[-1], "new accounts from one address")
