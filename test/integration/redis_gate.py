"""Stands between a server and Redis on a Unix socket: passes on what both say, until it is shut. Then whatever is sent is lost and
nobody hears of it, as in a network that is cut."""

import socket
import threading


class RedisGate:
    def __init__(self, path, target):
        self.target, self.is_shut, self.watched = str(target), False, None
        self.lock, self.pairs = threading.Lock(), []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def before(self, words, act):
        """Once: `act` runs when the server sends these bytes (or what a pattern matches), before they go on (or are lost, where it shuts the gate)."""
        self.watched = (words, act)

    def shut(self):
        self.is_shut = True

    def open(self):
        """Connections that lost something end, as they do when their other end learns of it."""
        with self.lock:
            was_shut, pairs = self.is_shut, self.pairs
            self.is_shut, self.watched = False, None
            if was_shut:
                self.pairs = []
        for pair in pairs if was_shut else ():
            _end(pair)

    def close(self):
        self.listener.close()
        self.shut()
        self.open()

    def _accept(self):
        while True:
            try:
                server, _ = self.listener.accept()
            except OSError:
                return
            redis = socket.socket(socket.AF_UNIX)
            redis.connect(self.target)
            with self.lock:
                self.pairs.append((server, redis))
            threading.Thread(target=self._pass, args=(server, redis, True), daemon=True).start()
            threading.Thread(target=self._pass, args=(redis, server, False), daemon=True).start()

    def _look(self, data):
        watched = self.watched
        if watched is not None and (watched[0] in data if isinstance(watched[0], bytes) else watched[0].search(data)):
            self.watched = None
            watched[1]()

    def _pass(self, source, sink, is_from_server):
        try:
            while data := source.recv(1 << 18):
                if is_from_server:
                    self._look(data)
                if not self.is_shut:
                    sink.sendall(data)
        except OSError:
            pass
        _end((source, sink))


def _end(pair):
    for each in pair:
        try:
            each.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        each.close()
