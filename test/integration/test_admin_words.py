"""The admin API takes the members and query parameters that each call has, and refuses all others by name: what is passed over
in silence stops, revokes or lists more than was meant."""

import re

import pytest

from under_test import ROOT
from verify import load_chain

ROUTES = re.findall(r'ROUTE\((\w+),\s*"([^"]+)",\s*\w+,\s*"([^"]*)",\s*"([^"]*)",\s*(?:true|false)\)',
                    (ROOT / "server/admin/service.c").read_text())


def path_of(pattern):
    return re.sub(r":\w+", "nothing", pattern)


def refused(admin, method, target, word, taken, body=None):
    status, _, text = admin.fetch(method, target, body)
    text = text.decode()
    assert status == 400 and word in text, (method, target, status, text)
    assert all(each in text for each in taken.split()), (target, text)


def test_the_table_of_routes_is_read_whole():
    assert len(ROUTES) == (ROOT / "server/admin/service.c").read_text().count("    ROUTE(")


@pytest.mark.parametrize("method, pattern, members, parameters", ROUTES, ids=lambda each: each)
def test_every_route_refuses_words_that_it_does_not_take(admin, method, pattern, members, parameters):
    path = path_of(pattern)
    refused(admin, method, f"{path}?misspelt=1", "misspelt", parameters)
    refused(admin, method, path, "misspelt", members, {"misspelt": True})
    for each in parameters.split():
        refused(admin, method, f"{path}?{each}=a&{each}=b", "twice", each)


def test_a_misdirected_stop_stops_nobody(sandbox, admin):
    refused(admin, "POST", "/admin/v1/issuance/stop", "customer", "", {"customer": sandbox["CUSTOMER"]})
    refused(admin, "POST", f"/admin/v1/issuance/stop?customer={sandbox['CUSTOMER']}", "customer", "")
    refused(admin, "POST", "/admin/v1/signing", "onyl", "allowed only", {"allowed": False, "onyl": "this-host"})
    assert admin.get("issuance")["stopped"] is False


def test_a_dry_run_of_one_revocation_revokes_nothing(client, sandbox, admin):
    _, chain, _ = client.issue([f"words.{sandbox['ZONE']}"])
    path = f"/admin/v1/certificates/{load_chain(chain)[0].serial_number}"
    refused(admin, "POST", f"{path}/revoke", "dry_run", "reason", {"dry_run": True})
    assert admin.get(path.removeprefix("/admin/v1/"))["status"] == "valid"
