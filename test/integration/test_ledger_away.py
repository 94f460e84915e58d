"""A ledger that is not in its place while the signer verifies it behind its start, and what the tests do with a sandbox that
one of them broke."""

import os

import pytest

from fence_kit import box, customer  # noqa: F401: fixtures
from fence_kit import RECOVERY, check_well, make_ledger, move, stopped_signer, wait_well
from under_test import wait_until

SANDBOX_OPTIONS = ("--workers", "1", "--set", "signer.ledger_segment_bytes=65536",
                   "--set", "server.retire_idle_seconds=0", "--set", "signer.signer_timeout_ms=2000")


def open_pipe(pipe):
    """For writing, once somebody reads it: he waits until it is closed."""
    def opened():
        try:
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK) or None
        except OSError:
            return None

    file = wait_until(opened, RECOVERY)
    assert file is not None, "nobody reads it"
    return file


def restart_server(box, between=lambda: None):  # noqa: F811
    """A clean stop leaves a checkpoint."""
    box.script("down", "--keep")
    between()
    box.script("up", "--port-base", box.port_base, *box.options, timeout=600)
    wait_well(box)


def wait_log(box, text, offset):  # noqa: F811
    assert wait_until(lambda: text in box.log_text()[offset:], RECOVERY), box.log_text()[offset:][-3000:]


def test_a_ledger_that_is_taken_away_while_it_is_verified_is_awaited_and_not_damaged(box, customer, tmp_path):  # noqa: F811
    """On a busy machine the lowest priority has not read it yet. The first segment, which a start from the checkpoint does not
    read, is a pipe here, so that the verifier is still at it when the ledger goes."""
    ledger, away = box.directory / "ledger", tmp_path / "away"
    customer.client.close()
    restart_server(box, between=lambda: make_ledger(ledger))
    box.client().issue([box.name()])  # the segment is full: another one begins
    restart_server(box)
    wait_log(box, "the whole ledger is verified", 0)
    first, *_, _ = sorted(ledger.glob("ledger-*"))
    offset = len(box.log_text())
    with stopped_signer(box):
        move(first, tmp_path / first.name)
        os.mkfifo(first)
    try:
        wait_log(box, 'from="the checkpoint"', offset)
        pipe = open_pipe(first)
        move(ledger, away)
        os.close(pipe)
        wait_log(box, "is not in its place any more", offset)
    finally:
        away = away if away.exists() else ledger
        (away / first.name).unlink()
        move(tmp_path / first.name, away / first.name)
        if away != ledger:
            move(away, ledger)
    customer.check_served()
    assert "the ledger is damaged" not in box.log_text()[offset:]


def test_a_sandbox_that_a_test_left_broken_is_not_the_next_ones(box):  # noqa: F811
    box.admin_command("signing", "stop")
    before = box.supervisor
    with pytest.raises(AssertionError, match="stopped for everybody"):
        check_well(box, is_to_issue=True)
    assert box.supervisor != before
    box.client().issue([box.name()])
