"""What every certificate of ours must be, whichever client asked for it."""

import datetime
import re
import subprocess
import tempfile
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n", re.S)
DEFAULT_DAYS = 90


def load_chain(pem):
    """The certificates of a PEM text, which must hold nothing else and end with a newline."""
    blocks = PEM.findall(pem)
    assert PEM.sub("", pem).strip() == "", "something else than certificates in the chain"
    return [x509.load_pem_x509_certificate(block.encode()) for block in blocks]


def load_key(path_or_key):
    if isinstance(path_or_key, (str, Path)):
        return serialization.load_pem_private_key(Path(path_or_key).read_bytes(), None)
    return path_or_key


def spki(public):
    return public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def kind_of(key):
    if isinstance(key, rsa.RSAPrivateKey):
        return f"rsa{key.key_size}"
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return f"p{key.key_size}"


def openssl_verify(leaf, issuer_file):
    with tempfile.NamedTemporaryFile("wb", suffix=".pem") as file:
        file.write(leaf.public_bytes(serialization.Encoding.PEM))
        file.flush()
        result = subprocess.run(["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-partial_chain",
                                 "-CAfile", str(issuer_file), file.name], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def verify_certificate(pem, key, names, issuer_file, days=DEFAULT_DAYS, kind=None):
    """Names, key, chain and exact validity; returns the leaf."""
    chain = load_chain(pem)
    assert len(chain) == 2, f"{len(chain)} certificates: expected leaf and issuing certificate"
    leaf, issuer = chain
    expected_issuer = x509.load_pem_x509_certificate(Path(issuer_file).read_bytes())
    assert issuer == expected_issuer
    key = load_key(key)
    assert spki(leaf.public_key()) == spki(key.public_key()), "the certificate holds another key"
    if kind is not None:
        assert kind_of(key) == kind
    alternative = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert sorted(alternative.value.get_values_for_type(x509.DNSName)) == sorted(names)
    assert len(alternative.value) == len(names)
    assert alternative.critical == (len(leaf.subject.rdns) == 0)
    assert leaf.not_valid_after - leaf.not_valid_before == datetime.timedelta(days=days)
    now = datetime.datetime.utcnow()
    assert now - datetime.timedelta(minutes=15) < leaf.not_valid_before <= now
    assert leaf.not_valid_after <= issuer.not_valid_after
    assert 1 <= leaf.serial_number >> 120 <= 0x7F, "a serial has 16 bytes, the first 0x01 to 0x7F"
    usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert ExtendedKeyUsageOID.SERVER_AUTH in usage
    authority = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    subject = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    assert authority.key_identifier == subject.digest
    assert leaf.issuer == issuer.subject
    openssl_verify(leaf, issuer_file)
    return leaf


def der_of(certificate):
    return certificate.public_bytes(serialization.Encoding.DER)
