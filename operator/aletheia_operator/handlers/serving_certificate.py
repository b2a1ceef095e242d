"""Makes, checks and renews the serving certificate of the artifacts API. Pure, except for random keys.

Each certificate is signed by a new authority. Its key is discarded, and the API server trusts the authority only for this
service.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from aletheia_operator.settings import TLS_CERTIFICATE, TLS_KEY

CA = "ca.crt"
LIFETIME = timedelta(days=365)
RENEW_BEFORE = timedelta(days=120)
CLOCK_SKEW = timedelta(hours=1)


@dataclass(frozen=True)
class ServingCertificate:
    """A certificate with its key and authorities, all PEM."""

    certificate: str
    key: str
    authorities: str
    """The authority that signed it, and the previous one, so that a renewal causes no failure."""

    def to_data(self) -> dict[str, str]:
        """Return the data of a Secret of type kubernetes.io/tls."""
        return {TLS_CERTIFICATE: self.certificate, TLS_KEY: self.key, CA: self.authorities}


def certificate_of(data: Mapping[str, str]) -> ServingCertificate | None:
    """Return the certificate in the data of a Secret; None if it is not complete."""
    if not all(data.get(key) for key in (TLS_CERTIFICATE, TLS_KEY, CA)):
        return None
    return ServingCertificate(data[TLS_CERTIFICATE], data[TLS_KEY], data[CA])


def is_usable(kept: ServingCertificate, host: str, now: datetime) -> bool:
    """Return whether a certificate is whole, names the host, and need not be renewed yet."""
    try:
        certificate = x509.load_pem_x509_certificate(kept.certificate.encode())
        key = serialization.load_pem_private_key(kept.key.encode(), password=None)
        authority = x509.load_pem_x509_certificates(kept.authorities.encode())[0]
        certificate.verify_directly_issued_by(authority)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        hosts = names.get_values_for_type(x509.DNSName)
    except Exception:  # somebody edited the Secret: a new certificate replaces it
        return False
    return (
        host in hosts
        and key.public_key() == certificate.public_key()
        and certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc - RENEW_BEFORE
    )


def new_certificate(host: str, now: datetime, former: ServingCertificate | None) -> ServingCertificate:
    """Make a certificate for a host.

    `former`: the certificate that it replaces; its authority stays trusted until the next renewal. None: there was none.
    """
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"aletheia-artifacts-{now:%Y-%m-%dT%H:%M:%SZ}")])
    authority = (
        _builder(issuer, issuer, authority_key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "aletheia-artifacts")])
    certificate = (
        _builder(subject, issuer, key.public_key(), now)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    return ServingCertificate(
        certificate.public_bytes(pem).decode(),
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode(),
        authority.public_bytes(pem).decode() + _authority_of(former),
    )


def _authority_of(former: ServingCertificate | None) -> str:
    """Return the authority that signed a former certificate as PEM; '' if there is no certificate, or it cannot be read."""
    if former is None:
        return ""
    try:
        authority = x509.load_pem_x509_certificates(former.authorities.encode())[0]
    except (ValueError, IndexError):
        return ""
    return authority.public_bytes(serialization.Encoding.PEM).decode()


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + LIFETIME)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
