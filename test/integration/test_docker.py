"""What the image does at its start, without Docker: the entrypoint and the configuration in a mount namespace of their own, with
the users that the Dockerfile makes and the capabilities that compose leaves."""

import contextlib
import http.client
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from under_test import ROOT, AdminClient, children, free_port_base, name_of, run, wait_until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a mount namespace")
DOCKER = ROOT / "docker"
PROGRAMS = ("server/originca-server", "cli/originca", "perspective/originca-perspective")
USERS = {"originca": 7101, "originca-admin": 7102, "originca-signer": 7103}
OWNERS = {"pin": ("originca-signer", 0o600), "tokens": ("originca-signer", 0o700), "ledger": ("originca-signer", 0o700),
          "secret": ("root", 0o640), "tls/server-key.pem": ("originca", 0o400), "tls/server.pem": ("root", 0o644),
          "issuer-ecc.pem": ("root", 0o644), "issuer-rsa.pem": ("root", 0o644), ".": ("root", 0o755)}


def packages_of_the_image():
    """Those that the second stage installs."""
    stage = (DOCKER / "Dockerfile").read_text().rpartition("FROM ")[2].replace("\\\n", " ")
    return set(re.search(r"apt-get install -y --no-install-recommends ([^&]*)", stage)[1].split())


def libraries(program):
    """What the program itself names, without the compiler's own and what every Debian has."""
    named = re.findall(r"NEEDED\s+(\S+)", run(["objdump", "-p", Path(os.environ["ORIGINCA_BUILD"]) / program]).stdout)
    return {name for name in named if not re.match(r"(lib([cm]|asan|ubsan|gcc_s)|ld-linux.*)\.so", name)}


def test_the_image_has_the_libraries_of_each_program():
    needed = set().union(*map(libraries, PROGRAMS))
    found = run(["dpkg-query", "--search", *(f"*/{name}" for name in needed)]).stdout
    packages = {path.rpartition("/")[2]: package for package, path in re.findall(r"^([^:\s]+):\S* (\S+)$", found, re.M)}
    assert packages.keys() >= needed
    assert {packages[name] for name in needed} <= packages_of_the_image()


def add_users_of_the_image(etc):
    """As the Dockerfile's groupadd and useradd make them, with numbers of ours."""
    passwd, group = (etc / "passwd").read_text(), (etc / "group").read_text()
    made = re.findall(r"useradd --system (.*) (originca\S*) ", (DOCKER / "Dockerfile").read_text())
    assert {name for _, name in made} == set(USERS)
    members = [name for options, name in made if "--groups originca " in options + " "]
    for options, name in made:
        assert "--user-group" in options or "--gid originca" in options
        passwd += f"{name}:x:{USERS[name]}:{USERS[name]}::/:/usr/sbin/nologin\n"
        group += f"{name}:x:{USERS[name]}:{','.join(members) if name == 'originca' else ''}\n"
    (etc / "passwd").write_text(passwd)
    (etc / "group").write_text(group)


def capabilities():
    return re.search(r"cap_add: \[(.*?)\]", (DOCKER / "compose.yaml").read_text())[1].lower().split(", ")


class Container:
    """/etc, /var/lib/originca, /run/originca and /run/redis are folders of the test's."""

    def __init__(self, directory):
        self.directory, self.port = directory, free_port_base()
        directory.chmod(0o755)
        for folder in ("lib", "run", "redis", "bin"):
            (directory / folder).mkdir()
        shutil.copytree("/etc", directory / "etc", symlinks=True)
        add_users_of_the_image(directory / "etc")
        text = (DOCKER / "originca.conf").read_text().replace(":8443", f":{self.port}").replace(":8080", f":{self.port + 1}")
        hints = 'root_hints_file = "/etc/originca/hints"\n    allow_addresses = {"127.0.0.0/8"}'  # nobody is asked outside
        text = text.replace("dns {", f"dns {{\n    dns_port = {self.port + 2}\n    {hints}")
        (directory / "etc" / "originca").mkdir()
        (directory / "etc" / "originca" / "originca.conf").write_text(text)
        (directory / "etc" / "originca" / "hints").write_text(". 3600 NS a.root.\na.root. 3600 A 127.66.0.1\n")
        (directory / "bin" / "originca-server").symlink_to(Path(os.environ["ORIGINCA_BUILD"]) / "server" / "originca-server")

    def command(self, *arguments):
        here = self.directory
        mounts = {"lib": "/var/lib/originca", "run": "/run/originca", "redis": "/run/redis"}
        kept = ",".join(f"+{name}" for name in capabilities())
        script = ["set -e", "mount --make-rprivate /", f"mount --bind {here}/etc /etc", "mount -t tmpfs none /var/lib",
                  "mount -t tmpfs none /run",
                  *(f"mkdir {target} && mount --bind {here}/{source} {target}" for source, target in mounts.items()),
                  f"exec setpriv --bounding-set=-all,{kept} --no-new-privs {DOCKER}/entrypoint {shlex.join(arguments)}"]
        return ["unshare", "--mount", "sh", "-c", "\n".join(script)]

    @property
    def environment(self):
        return {"PATH": f"{self.directory / 'bin'}:{os.environ['PATH']}"}


@pytest.fixture(scope="module")
def container(tmp_path_factory):
    return Container(tmp_path_factory.mktemp("container"))


def test_every_file_is_given_to_the_process_that_reads_it(container):
    """Twice: the second start finds what the first one made."""
    for _ in range(2):
        result = run(container.command("--check-config"), container.environment, check=False)
        assert result.returncode == 0, result.stdout + result.stderr
        assert "workers as originca, admin as originca-admin, signer as originca-signer" in result.stdout
    for name, (owner, mode) in OWNERS.items():
        status = (container.directory / "lib" / name).stat()
        assert (status.st_uid, status.st_mode & 0o777) == (USERS.get(owner, 0), mode), name
    assert (container.directory / "lib" / "secret").stat().st_gid == USERS["originca"]


def test_each_process_of_the_image_has_its_own_user(container):
    redis = subprocess.Popen(["redis-server", "--port", "0", "--unixsocket", container.directory / "redis" / "redis.sock",
                              "--unixsocketperm", "777", "--appendonly", "yes", "--appendfsync", "always", "--save", "",
                              "--maxmemory-policy", "noeviction", "--dir", container.directory / "redis"])
    with open(container.directory / "log", "w") as log:
        server = subprocess.Popen(container.command(), env={**os.environ, **container.environment}, stderr=log)
    try:
        expected = {"worker": USERS["originca"], "admin": USERS["originca-admin"], "signer": USERS["originca-signer"]}

        admin, parts = AdminClient(container.directory / "run" / "admin.sock"), {}

        def is_serving():
            with contextlib.suppress(OSError, http.client.HTTPException):
                parts.update(json.loads(admin.fetch("GET", "/readyz")[2]))
            return all(parts.get(part, {}).get("ok") for part in ("redis", "ledger", "signer", "workers"))

        assert wait_until(is_serving, 60), f"{parts}\n" + (container.directory / "log").read_text()
        # The folder of a process that nobody may trace is root's: its status tells.
        found = {name_of(pid).partition("-")[2].partition("-")[0]:
                 int(re.search(r"^Uid:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.M)[1])
                 for pid in children(server.pid) if name_of(pid).startswith("oca-")}
        assert found == expected
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)
        redis.terminate()
        redis.wait(20)
