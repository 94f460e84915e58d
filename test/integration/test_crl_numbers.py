"""No list's number falls for those who fetch it: not where Redis was restored from a copy and the lists in the run directory are gone,
on one host or on two, nor where somebody plants an older genuine list. The ledgers know what was signed last."""

import contextlib
import os
import shutil
import tempfile
import threading
import time
from pathlib import Path

import pytest
from cryptography import x509

from crl_kit import fetch, load, number_of, path_of, plain_url
from rest_client import rest
from test_crl import create, paths_of, wait_listed, wait_published
from test_going_back import OldCopy, Second, redis, start_redis
from under_test import wait_until

SANDBOX_OPTIONS = ("--set", "revocation.crl_delay_ms=1000", "--set", "revocation.crl_compare_seconds=2", "--set",
                   "signer.crl_settle_seconds=1", "--workers", "1")
PROGRAM = Path(os.environ["ORIGINCA_BUILD"]) / "server" / "originca-server"
RECOVERY = 60


@pytest.fixture
def box(own_sandbox):
    wait_published(own_sandbox)
    return own_sandbox


@pytest.fixture
def second(box):
    host = Second(box)
    host.start()
    yield host
    if host.processes.pid("server") is not None:
        host.stop()
    box.admin_command("ledger", "excuse", "second", "--for-good", check=False)
    shutil.rmtree(host.folder)


def start(box):
    box.processes.start("server", [PROGRAM, "-c", box["CONFIG"]], {"SOFTHSM2_CONF": box["SOFTHSM2_CONF"]})


def forget_files(run_directory):
    """As a restart of the machine does where the run directory is in memory."""
    shutil.rmtree(Path(run_directory) / "crl")
    (Path(run_directory) / "crl").mkdir()


def run_directory(box):
    return Path(box["ADMIN_SOCKET"]).parent


def list_id(box, path):
    return redis(box, "HGET", "crl-lists", f"ecc {'' if path.endswith('-all.crl') else box['HTTP_URL'] + path}")


def make_anew(box, path, base=None):
    """Nothing has changed on it: no replay makes such a list due."""
    number = number_of(load(base or box["HTTP_URL"], path))
    redis(box, "ZADD", "crls-due", "0", list_id(box, path))
    assert wait_until(lambda: number_of(load(base or box["HTTP_URL"], path)) > number, RECOVERY)


class Watch:
    """Fetches lists from all `bases` all the while, each of which has the newest when it begins, and notes where one is older than it
    was, or lacks one of `listed`."""

    def __init__(self, bases, paths, listed=()):
        self.bases, self.paths, self.listed = bases, paths, listed
        self.numbers, self.falls = {}, []
        self.end = threading.Event()

    def newest(self, path):
        return max(number for (_, each), number in self.numbers.items() if each == path)

    def look(self):
        for base in self.bases:
            for path in self.paths:
                with contextlib.suppress(OSError):
                    status, _, body = fetch(base, path)
                    if status == 200:
                        self.note(base, path, x509.load_der_x509_crl(body))

    def note(self, base, path, crl):
        number, before = number_of(crl), self.numbers.get((base, path), 0)
        self.numbers[base, path] = max(number, before)
        if number < before:
            self.falls.append((base, path, before, number))
        for leaf in self.listed:
            if path in (path_of(leaf), "/crl/ecc-all.crl") and crl.get_revoked_certificate_by_serial_number(leaf.serial_number) is None:
                self.falls.append((base, path, number, hex(leaf.serial_number)))

    def __enter__(self):
        for path in self.paths:
            newest = max(number_of(load(base, path)) for base in self.bases)
            for base in self.bases:
                assert wait_until(lambda: number_of(load(base, path)) >= newest, RECOVERY), (base, path)
        self.look()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def watch(self):
        while not self.end.is_set():
            self.look()
            time.sleep(0.02)

    def __exit__(self, *_):
        self.end.set()
        self.thread.join()

    def wait_back(self):
        """Every host serves every list again, none below what anybody was given."""
        for path in self.paths:
            newest = self.newest(path)
            for base in self.bases:
                def is_there():
                    with contextlib.suppress(OSError):
                        return fetch(base, path)[0] == 200 and number_of(load(base, path)) >= newest
                    return False
                assert wait_until(is_there, RECOVERY), (base, path, self.falls)


def test_an_older_list_of_a_restored_redis_is_not_served_by_a_host_whose_files_are_gone(box, tmp_path):
    (first_id, first), (later_id, later) = create(box), create(box)
    assert rest(box).revoke(first_id).status == 200
    wait_listed(box, first)
    copy = OldCopy(box, tmp_path)
    paths = sorted({path_of(first), path_of(later), "/crl/ecc-all.crl", paths_of("ecc")[3]})
    for path in paths:
        make_anew(box, path)
    assert rest(box).revoke(later_id).status == 200
    wait_listed(box, later)
    with Watch([box["HTTP_URL"]], paths, [first, later]) as watch:
        assert not box.processes.stop("server")
        forget_files(run_directory(box))
        copy.put_back()
        start(box)
        box.wait_ready(RECOVERY)
        watch.wait_back()
    assert not watch.falls, watch.falls[:5]
    wait_listed(box, first)
    wait_listed(box, later)
    assert "Redis has older revocation lists than were signed here" in box.log_text()
    for path in paths:
        make_anew(box, path)


def test_what_another_host_signed_last_is_not_forgotten_either(box, second, tmp_path):
    base = plain_url(second.base_url)
    identifier, leaf = create(box)
    paths = sorted({path_of(leaf), "/crl/ecc-all.crl", paths_of("ecc")[4]})
    for path in paths:
        assert wait_until(lambda: fetch(base, path)[0] == 200, RECOVERY)
    assert rest(box).revoke(identifier).status == 200
    wait_listed(box, leaf)
    wait_listed(box, leaf, base=base)
    copy = OldCopy(box, tmp_path)
    assert not box.processes.stop("server")
    for path in paths:
        make_anew(box, path, base)  # the other host signs it
    start(box)
    box.wait_ready(RECOVERY)
    with Watch([base, box["HTTP_URL"]], paths, [leaf]) as watch:
        assert not box.processes.stop("server")
        second.stop()
        forget_files(run_directory(box))
        forget_files(second.folder)
        copy.put_back()
        start(box)  # which signed none of the newest
        assert wait_until(lambda: "the ledger of second" in box.admin.readiness()[1], RECOVERY)
        second.start()
        box.wait_ready(RECOVERY)
        watch.wait_back()
    assert not watch.falls, watch.falls[:5]
    wait_listed(box, leaf)
    wait_listed(box, leaf, base=base)


def test_an_older_genuine_list_that_is_planted_is_not_served_by_a_host_whose_files_are_gone(box):
    path = paths_of("ecc")[6]
    key, old = list_id(box, path), fetch(box["HTTP_URL"], path)[2]
    make_anew(box, path)
    with Watch([box["HTTP_URL"]], [path]) as watch:
        assert not box.processes.stop("server")
        forget_files(run_directory(box))
        with tempfile.NamedTemporaryFile() as file:
            file.write(old)
            file.flush()
            os.system(f"redis-cli -s {box['REDIS_SOCKET']} -x SET crl-der:{key} < {file.name} > /dev/null")
        redis(box, "HSET", f"crl:{key}", "number", str(number_of(x509.load_der_x509_crl(old))))
        redis(box, "HDEL", f"crl:{key}", "floor")
        redis(box, "ZADD", "crls-due", str(int(time.time() * 1000) + 86400000), key)
        start(box)
        box.wait_ready(RECOVERY)
        watch.wait_back()
    assert not watch.falls, watch.falls[:5]


@pytest.mark.parametrize("floor", ["99999999999999", "9223372036854775807", "-1", "none", "soon"])
def test_a_floor_that_is_planted_freezes_no_list(box, floor):
    path = paths_of("ecc")[7]
    if floor == "soon":  # one that is possible
        floor = str(int(time.time() * 1000) + 200000)
    redis(box, "HSET", f"crl:{list_id(box, path)}", "floor", floor)
    for _ in range(2):
        make_anew(box, path)
    assert number_of(load(box["HTTP_URL"], path)) < (time.time() + 300) * 1000


def test_redis_that_was_emptied_gets_numbers_above_those_that_were_served(box):
    paths = [*paths_of("ecc")[:2], "/crl/ecc-all.crl"]
    with Watch([box["HTTP_URL"]], paths) as watch:
        assert not box.processes.stop("server")
        forget_files(run_directory(box))
        box.kill_redis()
        shutil.rmtree(box.directory / "redis")
        (box.directory / "redis").mkdir()
        start_redis(box)
        start(box)
        assert wait_until(lambda: "accept-empty" in box.admin.readiness()[1], RECOVERY), box.admin.readiness()[1]
        box.admin_command("ledger", "accept-empty")
        assert wait_until(lambda: box.admin.readiness()[0], RECOVERY), box.admin.readiness()[1]
        watch.wait_back()
    assert not watch.falls, watch.falls[:5]
