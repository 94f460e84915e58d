"""What the sandbox says of a machine that it cannot run on."""

import os

import pytest

from under_test import ROOT, run

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a mount namespace")


def up_with(directory, files):
    """`sandbox up` where files of /etc hold other texts."""
    mounts = []
    for name, text in files.items():
        (directory / name).write_text(text)
        mounts.append(f"mount --bind {directory / name} /etc/{name}")
    sandbox = directory / "sandbox"
    script = ["set -e", "mount --make-rprivate /", *mounts, f"exec {ROOT}/scripts/sandbox up --dir {sandbox}"]
    result = run(["unshare", "--mount", "sh", "-c", "\n".join(script)], check=False)
    assert result.returncode == 1 and not sandbox.exists(), result.stdout
    return result.stderr


@pytest.mark.parametrize("hosts", ["", "192.0.2.1 localhost\n"])
def test_a_machine_where_localhost_is_not_loopback_is_told_what_to_add(tmp_path, hosts):
    said = up_with(tmp_path, {"hosts": hosts, "nsswitch.conf": "hosts: files\n"})
    assert "add the line `127.0.0.1 localhost` to /etc/hosts" in said
