"""A token that refuses the PIN is asked once, whatever restarts; then the signer waits, says so, and goes on with what needs
no token. Logins are counted between the signer and the token, by a PKCS#11 module of the tests."""

import contextlib
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from under_test import SandboxUnderTest, wait_until
from verify import der_of, load_chain

REAL_MODULE = next((path for path in ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so")
                    if os.path.exists(path)), None)
REFUSED = "a0"  # CKR_PIN_INCORRECT
RECOVERY = 30


@pytest.fixture(scope="module")
def box(tmp_path_factory):
    logins = tmp_path_factory.mktemp("logins") / "logins"
    module = Path(os.environ["ORIGINCA_BUILD"]) / "test" / "signer" / "libcount-logins.so"
    changed = {"ORIGINCA_REAL_MODULE": REAL_MODULE, "ORIGINCA_LOGINS": str(logins)}
    os.environ.update(changed)
    sandbox = SandboxUnderTest(tmp_path_factory.mktemp("own"), "--set", f"signer.pkcs11_module={module}",
                               "--set", "signer.pin_retry_seconds=600")
    sandbox.logins = logins
    try:
        yield sandbox.up()
    finally:
        sandbox.down()
        for name in changed:
            del os.environ[name]


class Pin:
    def __init__(self, box):
        self.box, self.path = box, box.directory / "pin"
        self.right = self.path.read_text()

    def set(self, text):
        """In place, as an editor or a deployment does it."""
        draft = self.path.with_suffix(".new")
        draft.touch(mode=0o600)
        draft.write_text(text)
        draft.rename(self.path)


@pytest.fixture
def pin(box):
    pin = Pin(box)
    box.wait_ready()
    yield pin
    pin.set(pin.right)
    box.wait_ready()
    assert refusals(box) is not None


def refusals(box):
    return box.logins.read_text().split().count(REFUSED)


def restart_signer(box):
    before = box.signer()
    box.kill(before)
    assert wait_until(lambda: box.signer() not in (None, before), RECOVERY)


def wait_away(box, *words):
    """Until readyz says so of the token; its words."""
    said = []

    def is_said():
        is_ready, text = box.admin.readiness()
        said[:] = [text]
        return not is_ready and all(word in text for word in words)

    assert wait_until(is_said, RECOVERY), said
    return said[0]


def reason(box):
    return wait_away(box, "refused the PIN")


def test_a_refused_pin_is_tried_once_whatever_restarts_and_the_correct_one_at_once(box, pin):
    before = refusals(box)
    pin.set("0000000\n")
    restart_signer(box)
    text = reason(box)
    assert str(pin.path) in text and "originca admin token retry" in text
    assert box.admin_command("health", check=False).returncode == 1
    assert refusals(box) == before + 1
    for _ in range(3):  # the supervisor's restarts, an impatient operator's
        restart_signer(box)
        reason(box)
    os.kill(box.supervisor, signal.SIGHUP)
    time.sleep(3)
    os.utime(pin.path)  # nothing in it has changed
    time.sleep(2)
    reason(box)
    assert refusals(box) == before + 1
    assert "the token cannot be used" in box.log_text()
    assert box.admin.metrics()["originca_token_usable"] == 0
    pin.set(pin.right)
    box.wait_ready()
    box.client().issue([box.name()])
    assert refusals(box) == before + 1
    assert box.admin.metrics()["originca_token_usable"] == 1


def test_each_wrong_pin_is_tried_once(box, pin):
    before = refusals(box)
    pin.set("1111111\n")
    restart_signer(box)
    reason(box)
    pin.set("2222222\n")
    assert wait_until(lambda: refusals(box) == before + 2, RECOVERY)
    time.sleep(2.5)
    assert refusals(box) == before + 2


def test_an_operator_has_the_same_pin_tried_again_once(box, pin):
    before = refusals(box)
    pin.set("3333333\n")
    restart_signer(box)
    reason(box)
    refused = box.admin_command("token", "retry", check=False)
    assert refused.returncode == 1 and "refused the PIN" in refused.stderr, refused.stderr
    assert refusals(box) == before + 2
    again = box.admin_command("token", "retry", check=False)
    assert again.returncode == 1 and "twice" in again.stderr, again.stderr
    restart_signer(box)
    reason(box)
    assert box.admin_command("token", "retry", check=False).returncode == 1
    assert refusals(box) == before + 2
    pin.set(pin.right)
    box.wait_ready()
    needless = box.admin_command("token", "retry", check=False)
    assert needless.returncode == 1 and "in use" in needless.stderr


@contextlib.contextmanager
def login_says(box, outcome, said):
    """Each login that ends with the outcome ("any": all, and the token is not asked) says that code instead."""
    path = box.logins.with_name("logins.says")
    draft = path.with_suffix(".new")
    draft.write_text(f"{outcome} {said}")
    draft.rename(path)
    try:
        yield
    finally:
        path.unlink()


@pytest.mark.parametrize("code", ["5", "6", "30", "b1", "80000001"],
                         ids=["general-error", "function-failed", "device-error", "session-count", "vendor"])
def test_a_token_that_fails_for_a_moment_comes_back_by_itself(box, pin, code):
    """What it fails of says nothing of the PIN: nobody has to act."""
    def tries():
        return box.logins.read_text().split().count(code)

    before, refused = tries(), refusals(box)
    with login_says(box, "any", code):
        restart_signer(box)
        text = wait_away(box, "cannot be used")
        assert "refused the PIN" not in text and "is the token there?" in text
        assert wait_until(lambda: tries() >= before + 3, RECOVERY)
    box.wait_ready()
    assert refusals(box) == refused and not (box.directory / "ledger" / "pin-refused").exists()
    box.client().issue([box.name()])


@pytest.mark.parametrize("code, words", [("a3", "has expired"), ("a4", "is locked")], ids=["expired", "locked"])
def test_a_pin_that_is_locked_or_expired_is_tried_once(box, pin, code, words):
    def tries():
        return box.logins.read_text().split().count(code)

    before = tries()
    with login_says(box, "any", code):
        restart_signer(box)
        assert words in reason(box)
        restart_signer(box)
        reason(box)
        assert tries() == before + 1
    box.admin_command("token", "retry")
    box.wait_ready()


def test_a_refusal_by_another_name_is_known_by_the_tokens_count(box, pin):
    """A module that says something of its own instead of CKR_PIN_INCORRECT: the token counted the try all the same."""
    def tries():
        return box.logins.read_text().split().count("80000002")

    before = tries()
    pin.set("6666666\n")
    with login_says(box, REFUSED, "80000002"):
        restart_signer(box)
        reason(box)
        restart_signer(box)
        reason(box)
        assert tries() == before + 1


def test_without_its_token_the_signer_still_revokes_and_says_what_it_cannot(box, pin):
    client = box.client()
    _, chain, _ = client.issue([box.name()])
    leaf = load_chain(chain)[0]
    pin.set("4444444\n")
    restart_signer(box)
    reason(box)
    client.revoke(der_of(leaf), 4).expect(200)
    assert int(box.ledger("revoked")[-1]["serial"], 16) == leaf.serial_number
    created = client.new_order([box.name()])
    assert created.status in (201, 503)


def test_ca_init_with_a_wrong_pin_asks_the_token_once(box, pin):
    before = refusals(box)
    pin.set("5555555\n")
    failed = box.server_tool("ca", "init", check=False)
    assert failed.returncode == 1 and "PIN" in failed.stderr, failed.stderr
    assert refusals(box) == before + 1


def test_nobody_logs_in_while_another_process_does(box):
    """SoftHSM empties and rewrites a file at each login: who read it then was told that the PIN is wrong, which is
    remembered, or that the key is not there. A reload checks the token while the signer that the one before has
    restarted logs in."""
    box.wait_ready()
    before = box.logins.read_text().count("\n")
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: box.server_tool("--check-config", check=False), range(8)))
    said = box.logins.read_text().split()[before:]
    assert len(said) >= len(results) and "overlap" not in said, said
    assert {result.stderr for result in results} == {""} and not any(result.returncode for result in results), results
    box.client().issue([box.name()])
