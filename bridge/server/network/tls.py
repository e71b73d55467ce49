"""TLS: the server's context, its certificates, and the ASGI TLS extension (S31, S13).

The extension needs two things that OpenSSL does not return: the server's own certificate as text,
and the numbers of the ciphers. The context keeps them, so `tls_extension` needs only the
connection's `ssl_object`.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from bridge.errors import ConfigError
from bridge.server.config.config import Config

_VERIFY: Final = {
    "none": ssl.CERT_NONE,
    "optional": ssl.CERT_OPTIONAL,
    "required": ssl.CERT_REQUIRED,
}
_VERSIONS: Final = {"TLSv1.2": 0x0303, "TLSv1.3": 0x0304}

#: Seconds that the event loop may go on writing to a TLS client after `close`: a day. The loop's
#: default is so short that it cuts downloads; here `timeout_write` limits how slow a client may be.
SHUTDOWN_TIMEOUT: Final = 86400.0

#: OpenSSL's long names of attributes -> the short ones of RFC 4514 §3.
_ATTRIBUTES: Final = {
    "commonName": "CN",
    "localityName": "L",
    "stateOrProvinceName": "ST",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "countryName": "C",
    "streetAddress": "STREET",
    "domainComponent": "DC",
    "userId": "UID",
}


class ServerContext(ssl.SSLContext):
    """A context for accepting connections that keeps its own certificate and cipher numbers."""

    #: The server's certificate as PEM, without its chain.
    certificate: str | None = None
    #: OpenSSL's names of ciphers -> their 16-bit numbers (RFC 8446 §B.4).
    cipher_numbers: dict[str, int]


def make_context(config: Config) -> ServerContext | None:
    """Make the context that `config` describes; None if it has no certificate.

    Raises `ConfigError`, which names the wrong file or setting.
    """
    if config.ssl_certfile is None:
        return None
    context = ServerContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    if config.ssl_ciphers is not None:
        try:
            context.set_ciphers(config.ssl_ciphers)
        except ssl.SSLError as error:
            raise ConfigError(
                f"ssl_ciphers is {config.ssl_ciphers!r}, in which OpenSSL finds no cipher; "
                "`openssl ciphers` lists what it knows"
            ) from error
    context.cipher_numbers = {
        cipher["name"]: cipher["id"] & 0xFFFF for cipher in context.get_ciphers()
    }
    context.verify_mode = _VERIFY[config.ssl_cert_reqs]
    _load(context, config)
    return context


def reload_certificates(context: ServerContext, config: Config) -> None:
    """Read the certificate, its key and the client authorities again; new handshakes use them.

    Open connections stay as they are. Raises `ConfigError` and then changes nothing: the files are
    first loaded into a context of their own. An authority that was removed from its file is still
    trusted until the server is restarted.
    """
    make_context(config)
    _load(context, config)


def _load(context: ServerContext, config: Config) -> None:
    certificate, key = config.ssl_certfile, config.ssl_keyfile
    assert certificate is not None
    _check_readable("ssl_certfile", certificate)
    if key is not None:
        _check_readable("ssl_keyfile", key)

    encrypted = False

    def password() -> str:
        nonlocal encrypted
        encrypted = True
        if config.ssl_keyfile_password is None:
            raise ConfigError(
                f"the key in {key or certificate} is encrypted; give --ssl-keyfile-password"
            )
        return config.ssl_keyfile_password

    try:
        context.load_cert_chain(certificate, key, password)
    except ssl.SSLError as error:
        raise ConfigError(_load_failure_text(certificate, key, error, encrypted)) from None
    context.certificate = _first_certificate(certificate)
    if config.ssl_ca_certs is not None:
        _check_readable("ssl_ca_certs", config.ssl_ca_certs)
        try:
            context.load_verify_locations(cafile=config.ssl_ca_certs)
        except ssl.SSLError:
            raise ConfigError(
                f"ssl_ca_certs {config.ssl_ca_certs} holds no PEM certificate; name a file with "
                "-----BEGIN CERTIFICATE----- in it"
            ) from None


def _check_readable(setting: str, path: str) -> None:
    try:
        with open(path, "rb"):
            pass
    except OSError as error:
        raise ConfigError(
            f"{setting} {path} cannot be read: {error.strerror}; name a file (PEM) that is there, "
            "and that this user may read"
        ) from None


def _load_failure_text(
    certificate: str, key: str | None, error: ssl.SSLError, encrypted: bool
) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return (
            f"the key in {key or certificate} is not that of the certificate in {certificate}; "
            "name the two files that were made together, the server's certificate first in its file"
        )
    if encrypted:
        return (
            f"the key in {key or certificate} cannot be decrypted with ssl_keyfile_password; mend "
            "that, or write the key without one: openssl pkey -in KEY -out NEW"
        )
    if key is None and b"PRIVATE KEY-----" not in Path(certificate).read_bytes():
        return f"{certificate} holds no private key; give the key's file with --ssl-keyfile"
    return (
        f"no certificate and key can be read from {certificate}"
        f"{f' and {key}' if key else ''}; both must be PEM ({error.reason or error})"
    )


def _first_certificate(path: str) -> str | None:
    with open(path, encoding="latin-1") as file:
        text = file.read()
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    start = text.find(begin)
    stop = text.find(end, start)
    return f"{text[start:stop]}{end}\n" if start >= 0 and stop >= 0 else None


# ------------------------------------------------------------- the ASGI extension


def tls_extension(connection: ssl.SSLObject | ssl.SSLSocket) -> dict[str, Any]:
    """Make ``scope["extensions"]["tls"]`` for a connection after its handshake (ASGI, TLS).

    The values do not change, so once per connection is enough.
    """
    context = connection.context
    ours = context if isinstance(context, ServerContext) else None
    cipher = connection.cipher()
    return {
        "server_cert": ours.certificate if ours else None,
        "client_cert_chain": _client_chain(connection),
        "client_cert_name": _client_name(connection),
        # If a certificate does not verify, OpenSSL ends the handshake, so there is no request.
        "client_cert_error": None,
        "tls_version": _VERSIONS.get(connection.version() or ""),
        "cipher_suite": ours.cipher_numbers.get(cipher[0]) if ours and cipher else None,
    }


def _client_chain(connection: ssl.SSLObject | ssl.SSLSocket) -> list[str]:
    """Return the client's certificate chain as PEM; before Python 3.13 only its own certificate."""
    own = connection.getpeercert(binary_form=True)
    if not own:
        return []
    sent = getattr(connection, "get_unverified_chain", None)
    chain: list[bytes] = sent() if sent else [own]
    return [ssl.DER_cert_to_PEM_cert(certificate) for certificate in chain]


def _client_name(connection: ssl.SSLObject | ssl.SSLSocket) -> str | None:
    certificate = connection.getpeercert()
    if not certificate:
        return None
    return _distinguished_name(certificate.get("subject", ()))  # type: ignore[arg-type]


def _distinguished_name(subject: Sequence[Sequence[tuple[str, str]]]) -> str:
    """Format a subject of `getpeercert` by RFC 4514 §2: the last part first."""
    return ",".join(
        "+".join(f"{_ATTRIBUTES.get(name, name)}={_escape(value)}" for name, value in part)
        for part in reversed(subject)
    )


def _escape(value: str) -> str:
    """Escape an attribute's value (RFC 4514 §2.4)."""
    text = "".join(f"\\{char}" if char in '"+,;<>\\' else char for char in value)
    text = text.replace("\0", "\\00")
    if text.startswith((" ", "#")):
        text = f"\\{text}"
    if text.endswith(" ") and len(value) > 1:
        text = f"{text[:-1]}\\ "
    return text
