"""The one question the sandbox has for a name server: which serial of a zone do you serve?"""

import os
import socket
import struct

SOA, IN = 6, 1


def _encode_name(name):
    labels = [label.encode() for label in name.rstrip(".").split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def _skip_name(packet, at):
    while packet[at]:
        if packet[at] >= 0xC0:
            return at + 2
        at += packet[at] + 1
    return at + 1


def soa_serial(address, port, zone, timeout=0.5):
    """The serial of the zone as this server answers it, None where it does not."""
    identity = os.urandom(2)
    query = identity + struct.pack("!5H", 0, 1, 0, 0, 0) + _encode_name(zone) + struct.pack("!2H", SOA, IN)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as connection:
        connection.settimeout(timeout)
        try:
            connection.connect((address, port))
            connection.send(query)
            packet = connection.recv(4096)
        except OSError:
            return None
    if packet[:2] != identity or packet[3] & 15 or struct.unpack("!H", packet[6:8])[0] == 0:
        return None
    at = _skip_name(packet, 12) + 4
    at = _skip_name(packet, at)
    if struct.unpack("!H", packet[at:at + 2])[0] != SOA:
        return None
    at = _skip_name(packet, _skip_name(packet, at + 10))
    return struct.unpack("!I", packet[at:at + 4])[0]
