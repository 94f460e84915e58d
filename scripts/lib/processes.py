"""Processes of a sandbox: started in a session of their own, remembered by pid and start time, ended exactly.

A pid alone may have been given to somebody else since; together with the start time it names one process."""

import os
import select
import signal
import subprocess
import time
from pathlib import Path


def start_time(pid):
    """The kernel's start time of a living process, None where there is none (a zombie counts as none)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def children(pid, thread=None):
    """Those that one thread of the process started: its first one where none is named."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{thread or pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def name_of(pid):
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def wait_end(pid, started, seconds):
    """Has the process ended within that time?"""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        if start_time(pid) != started:
            return True
        poller = select.poll()
        poller.register(handle, select.POLLIN)
        return bool(poller.poll(seconds * 1000))
    finally:
        os.close(handle)


class Processes:
    """The processes whose pid files lie in one folder."""

    def __init__(self, directory, log_directory):
        self.directory = Path(directory)
        self.log_directory = Path(log_directory)

    def _file(self, name):
        return self.directory / f"{name}.pid"

    def _recorded(self, name):
        try:
            pid, started = self._file(name).read_text().split()
            return int(pid), int(started)
        except (FileNotFoundError, ValueError):
            return None, None

    def pid(self, name):
        """The pid while the process that was started lives, else None."""
        pid, started = self._recorded(name)
        return pid if pid is not None and start_time(pid) == started else None

    def log(self, name):
        return self.log_directory / f"{name}.log"

    def log_tail(self, name, lines=20):
        try:
            return "\n".join(self.log(name).read_text(errors="replace").splitlines()[-lines:])
        except FileNotFoundError:
            return ""

    def start(self, name, command, environment=None):
        """Starts what does not run; its output is appended to the log."""
        if self.pid(name) is not None:
            return
        with open(self.log(name), "ab") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env={**os.environ, **(environment or {})})
        started = start_time(process.pid)
        self._file(name).write_text(f"{process.pid} {started or 0}\n")

    def send_signal(self, name, number):
        pid = self.pid(name)
        if pid is not None:
            os.kill(pid, number)

    def stop(self, name, seconds=20, number=signal.SIGTERM):
        """Asks the process to end, kills it and what it started when it does not. True where it had to be killed."""
        pid, started = self._recorded(name)
        was_killed = False
        if pid is not None and start_time(pid) == started:
            os.kill(pid, number)
            if not wait_end(pid, started, seconds):
                was_killed = True
                for each in [pid, *children(pid)]:
                    try:
                        os.kill(each, signal.SIGKILL)
                    except ProcessLookupError:
                        pass
                wait_end(pid, started, 5)
        self._file(name).unlink(missing_ok=True)
        return was_killed


def wait_until(condition, seconds, pause=0.05):
    """The first true value of condition(), or None when the time is over."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value or time.monotonic() >= deadline:
            return value or None
        time.sleep(pause)
