"""The admin API over its unix socket, with nothing but the standard library."""

import http.client
import json
import socket


class AdminError(Exception):
    """The server refused; `status` and `code` tell what, str() tells why."""

    def __init__(self, status, body):
        self.status = status
        self.body = body
        error = body.get("error", {}) if isinstance(body, dict) else {}
        self.code = error.get("code") if isinstance(error, dict) else None
        message = error.get("message") if isinstance(error, dict) else None
        super().__init__(f"{status}: {message or body}")


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class AdminClient:
    def __init__(self, path, timeout=30):
        self.path = path
        self.timeout = timeout

    def fetch(self, method, target, body=None):
        """Status, headers and body as they are; no status is an error."""
        connection = _UnixConnection(self.path, self.timeout)
        try:
            text = None if body is None else json.dumps(body)
            connection.request(method, target, text, {"Content-Type": "application/json"} if text else {})
            reply = connection.getresponse()
            return reply.status, reply.headers, reply.read()
        finally:
            connection.close()

    def call(self, method, target, body=None):
        """The decoded reply; AdminError for every status from 400 on."""
        status, _, text = self.fetch(method, f"/admin/v1/{target}", body)
        try:
            value = json.loads(text) if text else None
        except ValueError:
            value = text.decode(errors="replace")
        if status >= 400:
            raise AdminError(status, value)
        return value

    def get(self, target):
        return self.call("GET", target)

    def post(self, target, body=None):
        return self.call("POST", target, {} if body is None else body)

    def delete(self, target):
        return self.call("DELETE", target)

    def readiness(self):
        """(is ready, what it says)"""
        try:
            status, _, text = self.fetch("GET", "/readyz")
        except (OSError, http.client.HTTPException) as error:
            return False, str(error)
        return status == 200, text.decode(errors="replace").strip()

    def metrics(self):
        """{name with labels: value}"""
        _, _, text = self.fetch("GET", "/metrics")
        lines = [line for line in text.decode().splitlines() if line and not line.startswith("#")]
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}
