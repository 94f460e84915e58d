"""Mass replacement: renewal information that asks for certificates before their time, and who has come."""

import datetime
import time

import pytest

from acme_raw import certificate_id
from admin_api import AdminError
from rest_client import RestClient, make_csr, new_key, service_key
from test_acme_renewal_info import renewal_info, window_of
from test_going_back import redis
from verify import load_chain

OVER = 3600
ORDERS = 10
SANDBOX_OPTIONS = ("--workers", "1", "--limits", "production", "--set", f"limits.orders_per_customer={ORDERS}", "--set",
                   "limits.orders_window_seconds=86400", "--set", "limits.accounts_per_address=0")


@pytest.fixture
def customer(own_sandbox):
    customer = own_sandbox.new_customer()
    yield customer
    for each in own_sandbox.listing("replacements"):
        if each["state"] == "running":
            own_sandbox.admin.post(f"replacements/{each['id']}/cancel")


def issue(box, customer, **fields):
    """(leaf, names) of an ACME certificate."""
    names = [box.name(customer.zone)]
    return leaf_of(customer.client, names, **fields), names


def leaf_of(client, names, **fields):
    return load_chain(client.issue(names, **fields)[1])[0]


def replace(box, over=OVER, admin=None, **others):
    selection = others.pop("selection")
    return box.admin.post("replacements", {"selection": selection, "over_seconds": over, **others})


def progress(box, identifier):
    found = box.admin.get(f"replacements/{identifier}")
    return tuple(found[name] for name in ("replaced", "waiting", "ended"))


def waiting(box, identifier):
    return {int(each["serial"]) for each in box.listing(f"replacements/{identifier}/waiting")}


def now():
    return datetime.datetime.utcnow()


def test_windows_begin_now_spread_over_the_time(own_sandbox, customer):
    box = own_sandbox
    leaves = [issue(box, customer)[0] for _ in range(8)]
    untouched, _ = issue(box, box.new_customer())
    before = [window_of(renewal_info(customer.client, certificate_id(leaf)).expect(200)) for leaf in leaves]
    url = "https://status.provider.example/42"
    made = replace(box, selection={"customer": customer.id}, explanation_url=url)
    assert (made["total"], made["state"]) == (8, "running")
    starts = set()
    for leaf, (usual, _) in zip(leaves, before):
        reply = renewal_info(customer.client, certificate_id(leaf)).expect(200)
        start, end = window_of(reply)
        assert reply.json["explanationURL"] == url
        assert 60 <= int(reply.headers["Retry-After"]) <= OVER / 12
        assert now() - datetime.timedelta(seconds=60) <= start <= now() + datetime.timedelta(seconds=OVER) and start < end
        assert start < usual
        assert renewal_info(customer.client, certificate_id(leaf)).json == reply.json  # the same each time
        starts.add(start)
    assert len(starts) > 4 and max(starts) - min(starts) > datetime.timedelta(seconds=OVER / 8)
    other = renewal_info(customer.client, certificate_id(untouched)).expect(200)
    assert window_of(other)[0] > now() + datetime.timedelta(days=1) and "explanationURL" not in other.json
    box.admin.post(f"replacements/{made['id']}/cancel")
    after = [window_of(renewal_info(customer.client, certificate_id(leaf)).expect(200)) for leaf in leaves]
    assert after == before


def test_a_replacement_may_begin_later_and_is_never_later_than_usual(own_sandbox, customer):
    box = own_sandbox
    leaf, _ = issue(box, customer)
    usual = window_of(renewal_info(customer.client, certificate_id(leaf)))
    far = (leaf.not_valid_after - datetime.timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    replace(box, selection={"customer": customer.id}, starts_at=far)
    assert window_of(renewal_info(customer.client, certificate_id(leaf))) == usual
    soon = now().replace(microsecond=0) + datetime.timedelta(hours=2)
    replace(box, over=0, selection={"customer": customer.id}, starts_at=soon.strftime("%Y-%m-%dT%H:%M:%SZ"))
    assert window_of(renewal_info(customer.client, certificate_id(leaf)))[0] == soon


def test_who_has_replaced_and_who_has_not(own_sandbox, customer):
    box, client = own_sandbox, customer.client
    (named, named_names), (same, same_names), (revoked, _), (left, _) = (issue(box, customer) for _ in range(4))
    rest = RestClient(box["API_URL"], box["CA_BUNDLE"], service_key(customer.api_key))
    made = replace(box, selection={"customer": customer.id})
    assert progress(box, made["id"]) == (0, 4, 0)
    new = leaf_of(client, named_names, replaces=certificate_id(named))
    assert progress(box, made["id"]) == (1, 3, 0)
    assert rest.create(same_names, csr=make_csr(new_key())).status == 200
    assert progress(box, made["id"]) == (2, 2, 0)
    box.admin.post(f"certificates/{revoked.serial_number}/revoke", {"reason": "superseded"})
    assert progress(box, made["id"]) == (2, 1, 1)
    assert waiting(box, made["id"]) == {left.serial_number}
    assert same.serial_number not in waiting(box, made["id"])
    start, _ = window_of(renewal_info(client, certificate_id(new)).expect(200))
    assert start > now() + datetime.timedelta(days=1)  # what replaced is not asked for again
    shown = box.admin_command("replacement", "show", made["id"]).stdout
    assert "replaced      2" in shown and "waiting       1" in shown
    assert str(left.serial_number) in box.admin_command("replacement", "waiting", made["id"]).stdout


def test_a_replacement_asks_for_what_was_counted_alone(own_sandbox, customer):
    box = own_sandbox
    counted, _ = issue(box, customer)
    found = box.admin.post("replacements", {"selection": {"customer": customer.id}, "dry_run": True})
    late, _ = issue(box, customer)
    usual = window_of(renewal_info(customer.client, certificate_id(late)))
    with pytest.raises(AdminError) as caught:
        replace(box, selection={"customer": customer.id}, confirm=1)
    assert caught.value.status == 409
    made = replace(box, selection={"customer": customer.id}, confirm=1, cut_off=found["cut_off"])
    assert made["total"] == 1 and progress(box, made["id"]) == (0, 1, 0)
    assert window_of(renewal_info(customer.client, certificate_id(late))) == usual
    assert window_of(renewal_info(customer.client, certificate_id(counted)))[0] < now() + datetime.timedelta(seconds=OVER)


def test_a_list_of_a_replacement_stays_and_one_that_is_gone_is_told(own_sandbox, customer):
    box = own_sandbox
    serials = [str(issue(box, customer)[0].serial_number) for _ in range(2)]
    made = replace(box, selection={"serials": serials})
    key = made["selection"]["serial_list"]
    with pytest.raises(AdminError) as caught:
        box.admin.post("serial-lists", {"serials": ["1"], "serial_list": key})
    assert caught.value.status == 409
    assert int(redis(box, "TTL", f"bulk-serials:{key}")) > 86400
    box.admin.post(f"replacements/{made['id']}/cancel")
    assert progress(box, made["id"]) == (0, 2, 0)
    redis(box, "DEL", f"bulk-serials:{key}")
    with pytest.raises(AdminError) as caught:
        progress(box, made["id"])
    assert caught.value.status == 404 and "list of serials" in str(caught.value)


def test_a_replacement_goes_on_after_restarts(own_sandbox, customer):
    box, client = own_sandbox, customer.client
    (first, names), (second, _) = issue(box, customer), issue(box, customer)
    made = replace(box, selection={"serials": [str(first.serial_number), str(second.serial_number)]})
    leaf_of(client, names, replaces=certificate_id(first))
    window = window_of(renewal_info(client, certificate_id(second)))
    box.kill_redis()
    box.start_redis()
    box.kill(box.admin_process())
    box.wait_ready()
    assert progress(box, made["id"]) == (1, 1, 0) and waiting(box, made["id"]) == {second.serial_number}
    client.close()
    assert window_of(renewal_info(client, certificate_id(second)).expect(200)) == window


def test_a_replacement_is_due_work_that_no_limit_of_orders_keeps_back(own_sandbox, customer):
    box, client = own_sandbox, customer.client
    leaf, names = issue(box, customer)
    for _ in range(ORDERS - 1):
        client.new_order([box.name(customer.zone)]).expect(201)
    assert client.new_order([box.name(customer.zone)]).status == 429
    assert client.new_order(names, replaces=certificate_id(leaf)).status == 429
    replace(box, over=0, selection={"customer": customer.id})
    assert leaf_of(client, names, replaces=certificate_id(leaf)).serial_number != leaf.serial_number


@pytest.mark.parametrize("body, words", [
    ({"selection": {"issuer": "ecc"}}, "over_seconds"), ({"over_seconds": 1}, "selection"),
    ({"selection": {"issuer": "ecc"}, "over_seconds": -1}, "over_seconds"),
    ({"selection": {"issuer": "nobody"}, "over_seconds": 1}, "no issuer nobody"),
    ({"selection": {"issuer": "ecc"}, "over_seconds": 1, "cut_off": 0}, "cut_off"),
    ({"selection": {"issuer": "ecc"}, "over_seconds": 1, "starts_at": "soon"}, "starts_at"),
    ({"selection": {"issuer": "ecc"}, "over_seconds": 1, "starts_at": "2020-01-01T00:00:00Z"}, "has passed"),
    ({"selection": {"issuer": "ecc"}, "over_seconds": 1, "starts_at": "9999-01-01T00:00:00Z"}, "past the end"),
    ({"selection": {"issuer": "ecc"}, "over_seconds": 1, "explanation_url": "javascript:1"}, "explanation_url"),
])
def test_a_wrong_wish_is_refused(own_sandbox, body, words):
    with pytest.raises(AdminError) as caught:
        own_sandbox.admin.post("replacements", body)
    assert caught.value.status == 400 and words in str(caught.value)


def test_the_command_line_makes_and_ends_one(own_sandbox, customer):
    box = own_sandbox
    issue(box, customer)
    selection = ("replace", "--customer", customer.id)
    assert box.admin_command(*selection, "--yes", check=False).returncode == 2  # over what time?
    assert box.admin_command(*selection, "--over", "soon", "--yes", check=False).returncode == 2
    assert box.admin_command(*selection, "--over", "3d", check=False).returncode == 2
    assert "1 valid certificate is selected; nothing" in box.admin_command(*selection, "--dry-run").stdout
    made = box.admin_command(*selection, "--over", "3d", "--url", "https://a.test/x", "--yes").stdout
    assert "259200" in made and "https://a.test/x" in made
    identifier = made.split("replacement   ")[1].split()[0]
    assert "running" in box.admin_command("replacement", "list").stdout
    assert "cancelled" in box.admin_command("replacement", "cancel", identifier).stdout
    assert box.admin_command("replacement", "show", "0" * 32, check=False).returncode == 1
