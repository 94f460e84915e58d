"""A host whose secret files are not those that the data in Redis rest on serves nobody and says so, instead of refusing every
key of every customer while it seems well."""

import contextlib
import os
import secrets
from pathlib import Path

import pytest

from admin_api import AdminError
from fence_kit import accept_empty, backup, box, RECOVERY, hup, readiness, redis, wait_not_ready, wait_well  # noqa: F401
from rest_client import RestClient, service_key
from under_test import wait_until

SANDBOX_OPTIONS = ("--workers", "1", "--set", "server.ready_wait_seconds=2")
FILES = ("secret", "operator-secret")
SETTINGS = {"secret": "secret_file", "operator-secret": "operator_secret_file"}


@contextlib.contextmanager
def other(box, name):
    """Another well-formed secret in that file meanwhile."""
    path = box.directory / name
    good = path.read_text()
    path.write_text(secrets.token_hex(32) + "\n")
    try:
        yield good
    finally:
        path.write_text(good)


def start(box):
    program = Path(os.environ["ORIGINCA_BUILD"]) / "server" / "originca-server"
    box.processes.start("server", [program, "-c", box["CONFIG"]], {"SOFTHSM2_CONF": box["SOFTHSM2_CONF"]})


def stop(box):
    assert not box.processes.stop("server")


def wait_refused(box, setting):
    """Until readyz says that this file is another one."""
    def is_said():
        document = readiness(box)
        reason = document.get("ledger", {}).get("reason", "")
        return document.get("ready") is False and setting in reason and "accept-secrets" in reason
    assert wait_until(is_said, RECOVERY), readiness(box)


def api_works(box, key):
    return RestClient(box["API_URL"], box["CA_BUNDLE"], service_key(key)).list(box["ZONE_ID"]).status == 200


@pytest.fixture
def key(box):  # noqa: F811
    return box.admin.post("customers/alice/api-keys", {"kind": "service-key"})["key"]


@pytest.mark.parametrize("name", FILES)
def test_a_reload_to_another_secret_is_refused(box, key, name):  # noqa: F811
    before = set(box.workers())
    with other(box, name):
        reload = box.server_tool("reload", check=False)
        assert reload.returncode != 0 and SETTINGS[name] + " is another one" in reload.stdout + reload.stderr, reload
        assert before <= set(box.workers()) and box.admin.readiness()[0]
        assert api_works(box, key)
    hup(box)


@pytest.mark.parametrize("name", FILES)
def test_a_start_with_another_secret_serves_nobody(box, key, name):  # noqa: F811
    stop(box)
    with other(box, name):
        start(box)
        wait_refused(box, SETTINGS[name])
        if name == "secret":
            assert RestClient(box["API_URL"], box["CA_BUNDLE"], service_key(key)).list(box["ZONE_ID"]).status == 503
        with pytest.raises(AdminError, match=SETTINGS[name]):
            box.admin.post("customers/alice/api-keys", {"kind": "service-key"})
        with pytest.raises(AdminError, match=SETTINGS[name]):
            box.admin.post("customers/alice/eab-keys")
        stop(box)
    start(box)
    wait_well(box)
    assert api_works(box, key)


def test_an_operator_changes_the_secret(box, key):  # noqa: F811
    refused = box.admin_command("ledger", "accept-secrets", check=False)
    assert refused.returncode == 1 and "nothing to accept" in refused.stderr
    stop(box)
    with other(box, "secret"):
        start(box)
        wait_not_ready(box, "ledger", "secret_file", "accept-secrets")
        box.admin_command("ledger", "accept-secrets")
        [record] = box.ledger("secrets-accepted")
        assert record["by"].startswith("admin:") and record["detail"] == "secret_file"
        wait_well(box)
        assert not api_works(box, key)
        made = box.admin.post("customers/alice/api-keys", {"kind": "service-key"})["key"]
        assert api_works(box, made)
        stop(box)
    start(box)
    wait_not_ready(box, "ledger", "secret_file", "accept-secrets")
    box.admin_command("ledger", "accept-secrets")
    wait_well(box)
    assert api_works(box, key) and not api_works(box, made)


def test_an_emptied_redis_is_bound_anew(box, backup):  # noqa: F811
    redis(box, "FLUSHALL")
    wait_not_ready(box, "ledger", "accept-empty")
    accept_empty(box)
    wait_well(box)
    assert len(redis(box, "HGET", "ledger-secrets", "secret_file")) == 16
