"""Each process its own user: started as root, the server's processes cannot read or reach what is another's. Users that
every Debian has stand for the four of a package; two of them share a group, by which both read the master secret."""

import contextlib
import grp
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from under_test import ROOT, SandboxUnderTest, children, name_of, run, wait_until

WORKERS, ADMIN, SIGNER = "nobody", "_apt", "games"


def has_users():
    try:
        return pwd.getpwnam(WORKERS).pw_gid == pwd.getpwnam(ADMIN).pw_gid and pwd.getpwnam(SIGNER).pw_uid != 0
    except KeyError:
        return False


pytestmark = pytest.mark.skipif(os.geteuid() != 0 or not has_users(),
                                reason="needs root and Debian's users nobody, _apt and games")


def give(path, user, mode, group=None):
    entry = pwd.getpwnam(user)
    os.chown(path, entry.pw_uid, entry.pw_gid if group is None else grp.getgrgid(group).gr_gid)
    os.chmod(path, mode)


def give_tree(path, user):
    for folder, _, files in os.walk(path):
        give(folder, user, 0o700)
        for file in files:
            give(Path(folder) / file, user, 0o600)


def share(box):
    """The files of a sandbox as doc/operations.md has them owned."""
    shared = pwd.getpwnam(WORKERS).pw_gid
    for folder in (box.directory, box.directory / "tls", Path(box["REDIS_SOCKET"]).parent):
        folder.chmod(0o711)
    give(box.directory / "tls" / "server-key.pem", WORKERS, 0o400)
    give_tree(box.directory / "ledger", SIGNER)
    give_tree(box.directory / "tokens", SIGNER)
    give(box.directory / "pin", SIGNER, 0o400)
    give(box.directory / "operator-secret", ADMIN, 0o400)
    os.chown(box.directory / "secret", 0, shared)
    (box.directory / "secret").chmod(0o640)
    for file in ("tls/server.pem", "tls/ca.pem", "softhsm2.conf", "root.hints", "issuer-ecc.pem", "issuer-rsa.pem"):
        (box.directory / file).chmod(0o644)
    Path(box["REDIS_SOCKET"]).chmod(0o777)


def start(box):
    """With the capabilities that the unit leaves to root, and none more."""
    unit = (ROOT / "doc" / "originca.service.in").read_text()
    kept = re.search(r"^CapabilityBoundingSet=(.*)$", unit, re.M)[1].replace("CAP_", "+").lower().split()
    program = Path(os.environ["ORIGINCA_BUILD"]) / "server" / "originca-server"
    box.processes.start("server", ["setpriv", f"--bounding-set=-all,{','.join(kept)}", program, "-c", box["CONFIG"]],
                        {"SOFTHSM2_CONF": str(box.directory / "softhsm2.conf")})
    box.wait_ready()


@pytest.fixture(scope="module")
def box():
    directory = Path(tempfile.mkdtemp(prefix="oca-users-"))
    directory.chmod(0o711)
    box = SandboxUnderTest(directory / "box", "--workers", "2")
    try:
        box.up()
        box.processes.stop("server")
        path = Path(box["CONFIG"])
        path.write_text(path.read_text().replace("server {\n", f"server {{\n    user = {WORKERS}\n    admin_user = {ADMIN}\n"
                                                 f"    signer_user = {SIGNER}\n", 1))
        share(box)
        start(box)
        yield box
        box.down()
    finally:
        with contextlib.suppress(Exception):
            box.script("down", check=False)
        shutil.rmtree(directory, ignore_errors=True)


def processes(box):
    return {name_of(pid).removeprefix("oca-"): pid for pid in children(box.supervisor)}


def as_user(user, *command):
    """Its exit status; the groups are those that the process of that user has."""
    entry = pwd.getpwnam(user)
    return subprocess.run(command, user=entry.pw_uid, group=entry.pw_gid, extra_groups=os.getgrouplist(user, entry.pw_gid),
                          capture_output=True, text=True, errors="replace", timeout=30, check=False)


def can_read(user, path):
    return as_user(user, "cat", str(path)).returncode == 0


CONNECT = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.settimeout(5); s.connect(sys.argv[1])"


def can_connect(user, path):
    return as_user(user, "/usr/bin/python3", "-c", CONNECT, str(path)).returncode == 0


def test_each_process_is_its_users(box):
    found = processes(box)
    for name, user in (("worker-0", WORKERS), ("worker-1", WORKERS), ("admin", ADMIN), ("signer", SIGNER)):
        status = Path(f"/proc/{found[name]}/status").read_text()
        entry = pwd.getpwnam(user)
        assert re.search(r"Uid:\s+(.*)", status)[1].split() == [str(entry.pw_uid)] * 4, (name, status)
        assert re.search(r"Gid:\s+(.*)", status)[1].split() == [str(entry.pw_gid)] * 4, (name, status)
        assert re.search(r"CapEff:\s+(\w+)", status)[1].strip("0") == "", name


def test_everything_works(box):
    zone = box.new_zone()
    client = box.client()
    client.issue([f"www.{zone}", box.name()])
    assert box.admin.post(f"zones/{zone}/check")["status"] == "active"
    for allowed in (False, True):
        assert box.admin.post("signing", {"allowed": allowed}) == {"allowed": allowed}
    box.wait_ready()


def test_pin_and_ledger_are_read_by_the_signers_user_alone(box):
    segments = [path for path in (box.directory / "ledger").iterdir() if path.is_file()]
    assert segments
    for path in (box.directory / "pin", *segments):
        assert can_read(SIGNER, path)
        assert not can_read(WORKERS, path) and not can_read(ADMIN, path), path
    for user in (WORKERS, ADMIN):
        assert as_user(user, "ls", str(box.directory / "ledger")).returncode != 0
        assert as_user(user, "ls", str(box.directory / "tokens")).returncode != 0


def test_the_master_secret_is_not_for_the_signer_and_the_tls_key_for_workers_alone(box):
    assert can_read(WORKERS, box.directory / "secret") and can_read(ADMIN, box.directory / "secret")
    assert not can_read(SIGNER, box.directory / "secret")
    assert can_read(ADMIN, box.directory / "operator-secret") and not can_read(WORKERS, box.directory / "operator-secret")
    assert can_read(WORKERS, box.directory / "tls" / "server-key.pem")
    assert not can_read(ADMIN, box.directory / "tls" / "server-key.pem")
    assert "readable by others" not in box.log_text().rpartition("event=starting")[2]


def test_who_may_connect_where(box):
    run_directory = Path(box["ADMIN_SOCKET"]).parent
    allowed = {"signer.sock": {WORKERS}, "signer-operator.sock": {ADMIN}, "worker-0.sock": {ADMIN},
               "worker-1.sock": {ADMIN}, "admin.sock": {ADMIN}}
    for name, users in allowed.items():
        for user in (WORKERS, ADMIN, SIGNER):
            is_shared_group = name == "admin.sock" and user == WORKERS  # 0660, and these two share a group here
            if not is_shared_group:
                assert can_connect(user, run_directory / name) == (user in users), (name, user)


ASK = """
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(10)
s.connect(sys.argv[1])
s.sendall(b"GET /healthz HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n")
sys.exit(0 if s.recv(100).startswith(b"HTTP/1.1 200") else 1)
"""


def test_a_worker_is_no_administrator_whatever_the_sockets_permissions(box):
    path = Path(box["ADMIN_SOCKET"])
    before = path.stat().st_mode & 0o777
    path.chmod(0o666)
    try:
        assert as_user(ADMIN, "/usr/bin/python3", "-c", ASK, str(path)).returncode == 0
        assert as_user(WORKERS, "/usr/bin/python3", "-c", ASK, str(path)).returncode == 1
    finally:
        path.chmod(before)


def test_processes_that_die_come_back_as_their_users(box):
    before = processes(box)
    for name in ("worker-0", "admin", "signer"):
        box.kill(before[name])
    assert wait_until(lambda: all(processes(box).get(name) not in (None, before[name])
                                  for name in ("worker-0", "admin", "signer")), 30)
    box.wait_ready()
    test_each_process_is_its_users(box)
    box.client().issue([box.name()])


@pytest.mark.parametrize("setting", ["user", "admin_user", "signer_user"])
def test_a_user_that_cannot_be_taken_is_an_error(box, tmp_path, setting):
    """Not started as root: --check-config and a start say which setting, and nothing runs as somebody else."""
    program = Path(os.environ["ORIGINCA_BUILD"]) / "server" / "originca-server"
    text = re.sub(r"\n    (user|admin_user|signer_user) = \w+", "", Path(box["CONFIG"]).read_text())
    path = box.directory / "other.conf"
    for user, words in (("daemon", ("only a start as root", setting)), ("no-such-user", ("no user", setting))):
        path.write_text(text.replace("server {\n", f"server {{\n    {setting} = {user}\n", 1))
        path.chmod(0o644)
        for arguments in (["--check-config"], []):
            result = as_user(WORKERS, str(program), "-c", str(path), *arguments)
            said = result.stdout + result.stderr
            assert result.returncode in (1, 2) and all(word in said for word in words), said


def test_ca_init_gives_what_it_makes_to_who_reads_it(box, tmp_path):
    text = Path(box["CONFIG"]).read_text()
    text = re.sub(r'ledger_directory = "[^"]*"', f'ledger_directory = "{tmp_path}/ledger"', text)
    text = re.sub(r'\bsecret_file = "[^"]*"', f'secret_file = "{tmp_path}/secret"', text)
    text = re.sub(r'\boperator_secret_file = "[^"]*"', f'operator_secret_file = "{tmp_path}/operator-secret"', text)
    path = box.directory / "init.conf"
    path.write_text(text)
    program = Path(os.environ["ORIGINCA_BUILD"]) / "server" / "originca-server"
    run([program, "-c", path, "ca", "init"], {"SOFTHSM2_CONF": box.directory / "softhsm2.conf"})
    signer, shared = pwd.getpwnam(SIGNER).pw_uid, pwd.getpwnam(WORKERS).pw_gid
    made = [tmp_path / "ledger", *(tmp_path / "ledger").iterdir()]
    assert len(made) > 1 and all(each.stat().st_uid == signer for each in made)
    assert all(each.stat().st_mode & 0o077 == 0 for each in made)
    secret = (tmp_path / "secret").stat()
    assert (secret.st_uid, secret.st_gid, secret.st_mode & 0o777) == (0, shared, 0o640)
    assert (tmp_path / "operator-secret").stat().st_uid == pwd.getpwnam(ADMIN).pw_uid
    assert (tmp_path / "operator-secret").stat().st_mode & 0o077 == 0
