"""A script that creates something is repeated where its reply was lost: what it made, and when, stays as it was."""

import os
import re
import secrets
from pathlib import Path

import pytest

from under_test import run

SCRIPTS = Path(os.environ["ORIGINCA_BUILD"]) / "store" / "scripts.c"


def evaluate(sandbox, name, *arguments):
    """The items of its reply; the server has loaded it."""
    [sha] = re.findall(rf'{{"{name}", "([0-9a-f]{{40}})"', SCRIPTS.read_text())
    return redis(sandbox, "EVALSHA", sha, 0, *arguments)


def redis(sandbox, *words):
    return run(["redis-cli", "-s", sandbox["REDIS_SOCKET"], *words]).stdout.splitlines()


CREATES = {  # the key of what is made, and the arguments behind its id
    "create_customer": ("customer", lambda customer, word: [word]),
    "create_eab_key": ("eab", lambda customer, word: [customer]),
    "create_api_key": ("api-key", lambda customer, word: [customer, "token", "h", "certificates:edit", "", ""]),
}


@pytest.mark.parametrize("script", CREATES)
def test_a_repeated_create_changes_nothing(sandbox, script):
    kind, arguments = CREATES[script]
    made, word = secrets.token_hex(16), secrets.token_hex(8)
    customer = sandbox.admin.post("customers", {"name": secrets.token_hex(8)})["id"]
    assert evaluate(sandbox, script, made, *arguments(customer, word))[0] == "ok"
    redis(sandbox, "HSET", f"{kind}:{made}", "created", 5)
    before = redis(sandbox, "HGETALL", f"{kind}:{made}")
    assert evaluate(sandbox, script, made, *arguments(customer, word)) == ["ok", "5"]
    assert redis(sandbox, "HGETALL", f"{kind}:{made}") == before


def test_a_repeated_create_of_an_account_says_again_that_it_was_made(sandbox):
    made, thumbprint = secrets.token_hex(16), secrets.token_hex(16)
    for account, is_made in ((made, "1"), (made, "1"), (secrets.token_hex(16), "0")):
        reply = evaluate(sandbox, "create_account", account, 3600, thumbprint, thumbprint, "", "", "status", "valid")
        assert reply[:3] == ["ok", is_made, made]
