"""TLS: what is negotiated, which certificate the server shows, and what an app is told.

First contexts, by handshakes in memory; then the server over the wire.
"""

from __future__ import annotations

import signal
import socket
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from bridge.errors import ConfigError
from bridge.server.config.config import Config
from bridge.server.network.tls import (
    ServerContext,
    make_context,
    reload_certificates,
    tls_extension,
)
from tests.conftest import StartHost
from tests.support.hosts import Host, bridge
from tests.support.waiting import eventually


@dataclass
class Files:
    """A certificate for 127.0.0.1, its key and its authority, in files."""

    ca: trustme.CA
    certfile: str
    keyfile: str
    cafile: str
    leaf: trustme.LeafCert

    def config(self, **settings: Any) -> Config:
        return Config(ssl_certfile=self.certfile, ssl_keyfile=self.keyfile, **settings)


def write(directory: Path, ca: trustme.CA) -> Files:
    leaf = ca.issue_cert("127.0.0.1", "localhost")
    cert, key, authority = directory / "cert.pem", directory / "key.pem", directory / "ca.pem"
    cert.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    leaf.private_key_pem.write_to_path(str(key))
    ca.cert_pem.write_to_path(str(authority))
    return Files(ca, str(cert), str(key), str(authority), leaf)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return write(tmp_path, trustme.CA())


def client_context(files: Files) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=files.cafile)
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


def handshake(
    server_context: ssl.SSLContext, context: ssl.SSLContext
) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """A client and a server that have shaken hands in memory; raises what either raises."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(to_client, to_server, server_hostname="127.0.0.1")
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    waiting = {client, server}
    for _ in range(10):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            waiting.discard(side)
        if not waiting:
            break
    assert not waiting
    return client, server


def context_of(config: Config) -> ServerContext:
    context = make_context(config)
    assert context is not None
    return context


# ------------------------------------------------------------- the context


def test_no_certificate_no_tls() -> None:
    """S31: without a certificate the server speaks plain HTTP."""
    assert make_context(Config()) is None


def test_handshake(files: Files) -> None:
    """S31: a client that trusts the authority connects, and HTTP/1.1 is agreed on by ALPN."""
    client, server = handshake(context_of(files.config()), client_context(files))
    assert client.version() == "TLSv1.3"
    assert client.selected_alpn_protocol() == server.selected_alpn_protocol() == "http/1.1"


def test_key_in_the_certificate_s_file(files: Files, tmp_path: Path) -> None:
    """S31: one PEM file may hold the key and the certificate."""
    both = tmp_path / "both.pem"
    both.write_bytes(files.leaf.private_key_and_cert_chain_pem.bytes())
    handshake(context_of(Config(ssl_certfile=str(both))), client_context(files))


@pytest.mark.parametrize(
    ("version", "accepted"),
    [(ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True)],
)
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
def test_minimum_version(files: Files, version: ssl.TLSVersion, accepted: bool) -> None:
    """S31: nothing older than TLS 1.2 is spoken."""
    context = client_context(files)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1_1
    context.maximum_version = version
    if accepted:
        client, _ = handshake(context_of(files.config()), context)
        assert client.version() == "TLSv1.2"
    else:
        with pytest.raises(ssl.SSLError):
            handshake(context_of(files.config()), context)


def test_ciphers(files: Files) -> None:
    """S31: the ciphers of TLS 1.2 can be chosen."""
    context = client_context(files)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    server = context_of(files.config(ssl_ciphers="ECDHE+AESGCM"))
    client, _ = handshake(server, context)
    cipher = client.cipher()
    assert cipher is not None
    assert "GCM" in cipher[0]
    context.set_ciphers("ECDHE+CHACHA20")
    with pytest.raises(ssl.SSLError):
        handshake(server, context)


def test_no_renegotiation_and_no_compression(files: Files) -> None:
    """S31: what has been used against TLS is off."""
    options = context_of(files.config()).options
    assert options & ssl.OP_NO_RENEGOTIATION
    assert options & ssl.OP_NO_COMPRESSION


def encrypted(files: Files, password: bytes) -> None:
    key = load_pem_private_key(Path(files.keyfile).read_bytes(), None)
    Path(files.keyfile).write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password))
    )


def test_encrypted_key(files: Files) -> None:
    """S31: an encrypted key is read with its password, and never asks at a terminal."""
    encrypted(files, b"sesame")
    handshake(context_of(files.config(ssl_keyfile_password="sesame")), client_context(files))
    with pytest.raises(ConfigError, match="is encrypted; give --ssl-keyfile-password"):
        make_context(files.config())
    with pytest.raises(ConfigError, match="cannot be decrypted with ssl_keyfile_password"):
        make_context(files.config(ssl_keyfile_password="wrong"))


def test_wrong_files(files: Files, tmp_path: Path) -> None:
    """S31: each file at fault is named, and why."""
    other = write(
        tmp_path / "other" if (tmp_path / "other").mkdir() is None else tmp_path, trustme.CA()
    )
    junk = tmp_path / "junk.pem"
    junk.write_text("no PEM")
    missing = str(tmp_path / "missing.pem")
    for config, text in [
        (Config(ssl_certfile=missing), "ssl_certfile .*missing.pem cannot be read: No such file"),
        (
            Config(ssl_certfile=files.certfile, ssl_keyfile=missing),
            "ssl_keyfile .*missing.pem cannot be read",
        ),
        (
            Config(ssl_certfile=files.certfile, ssl_keyfile=other.keyfile),
            "is not that of the certificate",
        ),
        (Config(ssl_certfile=files.certfile), "holds no private key; .* --ssl-keyfile"),
        (Config(ssl_certfile=str(junk), ssl_keyfile=str(junk)), "junk.pem .*must be PEM"),
        (files.config(ssl_ca_certs=missing), "ssl_ca_certs .*cannot be read"),
        (files.config(ssl_ca_certs=str(junk)), "holds no PEM certificate"),
        (files.config(ssl_ciphers="NOT-A-CIPHER"), "finds no cipher"),
    ]:
        with pytest.raises(ConfigError, match=text):
            make_context(config)


# ------------------------------------------------------------- client certificates


def with_client_certificate(files: Files, leaf: trustme.LeafCert) -> ssl.SSLContext:
    context = client_context(files)
    leaf.configure_cert(context)
    return context


def test_client_certificate_required(files: Files) -> None:
    """S31: a client without a certificate, or with a stranger's, is refused on demand."""
    server = context_of(files.config(ssl_ca_certs=files.cafile, ssl_cert_reqs="required"))
    handshake(server, with_client_certificate(files, files.ca.issue_cert("someone@example.org")))
    with pytest.raises(ssl.SSLError):
        handshake(server, client_context(files))
    stranger = trustme.CA().issue_cert("someone@example.org")
    with pytest.raises(ssl.SSLError):
        handshake(server, with_client_certificate(files, stranger))


def test_client_certificate_optional(files: Files) -> None:
    """S31: an optional certificate may be missing, but not be a stranger's."""
    server = context_of(files.config(ssl_ca_certs=files.cafile, ssl_cert_reqs="optional"))
    _, connection = handshake(server, client_context(files))
    assert tls_extension(connection)["client_cert_name"] is None
    stranger = trustme.CA().issue_cert("someone@example.org")
    with pytest.raises(ssl.SSLError):
        handshake(server, with_client_certificate(files, stranger))


# ------------------------------------------------------------- new certificates


def fingerprint(context: ssl.SSLContext, files: Files) -> bytes | None:
    client, _ = handshake(context, client_context(files))
    return client.getpeercert(binary_form=True)


def test_reload(files: Files, tmp_path: Path) -> None:
    """S31: new files are used by new handshakes on the same context; old connections live."""
    config = files.config()
    context = context_of(config)
    client, server = handshake(context, client_context(files))
    before = tls_extension(server)["server_cert"]
    old = fingerprint(context, files)
    write(tmp_path, files.ca)
    assert fingerprint(context, files) == old
    reload_certificates(context, config)
    new = fingerprint(context, files)
    assert new != old
    assert new is not None
    _, fresh = handshake(context, client_context(files))
    assert tls_extension(fresh)["server_cert"] == ssl.DER_cert_to_PEM_cert(new) != before
    client.write(b"still here")
    # Two MemoryBIOs stand for the wire: what the client wrote is the server's to read.
    assert server.read(10) == b"still here"


@pytest.mark.parametrize("broken", ["certfile", "keyfile"])
def test_failed_reload_changes_nothing(files: Files, tmp_path: Path, broken: str) -> None:
    """S31: if the new files do not fit, the old certificate stays in use, and the error is told."""
    config = files.config()
    context = context_of(config)
    old = fingerprint(context, files)
    (tmp_path / "other").mkdir()
    other = write(tmp_path / "other", files.ca)
    Path(getattr(files, broken)).write_bytes(Path(getattr(other, broken)).read_bytes())
    with pytest.raises(ConfigError, match="is not that of"):
        reload_certificates(context, config)
    assert fingerprint(context, files) == old


# ------------------------------------------------------------- the TLS extension


def test_extension_without_client_certificate(files: Files) -> None:
    """S13: an app on TLS is told version, cipher and the server's certificate."""
    _, server = handshake(context_of(files.config()), client_context(files))
    extension = tls_extension(server)
    assert extension == {
        "server_cert": files.leaf.cert_chain_pems[0].bytes().decode(),
        "client_cert_chain": [],
        "client_cert_name": None,
        "client_cert_error": None,
        "tls_version": 0x0304,
        "cipher_suite": extension["cipher_suite"],
    }
    assert extension["cipher_suite"] in (0x1301, 0x1302, 0x1303)


def test_extension_with_tls_1_2(files: Files) -> None:
    """S13: numbers are those of the TLS registry."""
    context = client_context(files)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256")
    _, server = handshake(context_of(files.config()), context)
    extension = tls_extension(server)
    assert extension["tls_version"] == 0x0303
    assert extension["cipher_suite"] in (0xC02B, 0xC02F)


def test_extension_with_client_certificate(files: Files) -> None:
    """S13: a client's certificate and its name (RFC 4514) reach the app."""
    context = context_of(files.config(ssl_ca_certs=files.cafile, ssl_cert_reqs="required"))
    leaf = files.ca.issue_cert(
        "someone@example.org",
        common_name="Some, One",
        organization_name="A+B",
        organization_unit_name="#1 <unit> ",
    )
    _, server = handshake(context, with_client_certificate(files, leaf))
    extension = tls_extension(server)
    own = leaf.cert_chain_pems[0].bytes().decode()
    assert extension["client_cert_chain"][0] == own
    assert extension["client_cert_error"] is None
    assert extension["client_cert_name"] == r"CN=Some\, One,OU=\#1 \<unit\>\ ,O=A\+B"
    subject = x509.load_pem_x509_certificate(own.encode()).subject
    assert extension["client_cert_name"] == subject.rfc4514_string()


def test_extension_on_a_foreign_context(files: Files) -> None:
    """S13: on a context that others made, what is not known is None."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certfile, files.keyfile)
    _, server = handshake(context, client_context(files))
    extension = tls_extension(server)
    assert extension["server_cert"] is extension["cipher_suite"] is None
    assert extension["tls_version"] == 0x0304


# ------------------------------------------------------------- over the wire

CONNECTION = "tests.support.apps.connection"


def serve(start_host: StartHost, files: Files, *options: str, kind: str = "asgi") -> Host:
    return start_host(
        bridge(
            f"{CONNECTION}:{kind}",
            *("--ssl-certfile", files.certfile, "--ssl-keyfile", files.keyfile),
            *options,
        )
    )


def shown_certificate(host: Host, files: Files) -> bytes | None:
    with (
        host.connect() as sock,
        client_context(files).wrap_socket(sock, server_hostname="127.0.0.1") as connection,
    ):
        return connection.getpeercert(binary_form=True)


def test_https(start_host: StartHost, files: Files) -> None:
    """S31, S13, S51: requests over TLS, on one connection, with all that an app is told."""
    host = serve(start_host, files)
    eventually(lambda: f"running on https://127.0.0.1:{host.port} " in host.log())
    with httpx.Client(verify=client_context(files)) as client:
        for _ in range(3):
            answer = client.get(host.url("/", "https")).json()
            assert answer["scheme"] == "https"
            assert answer["tls"]["tls_version"] == 0x0304
            assert answer["tls"]["server_cert"] == files.leaf.cert_chain_pems[0].bytes().decode()
            assert answer["tls"]["client_cert_name"] is None


def test_https_for_wsgi(start_host: StartHost, files: Files) -> None:
    """S31: a WSGI app is told of https."""
    host = serve(start_host, files, kind="wsgi")
    answer = httpx.get(host.url("/", "https"), verify=client_context(files)).json()
    assert answer["wsgi.url_scheme"] == "https"
    assert answer["SERVER_PORT"] == str(host.port)


def test_no_tls_extension_without_tls(start_host: StartHost) -> None:
    """S13: on a plain connection there is no TLS extension."""
    host = start_host(bridge(f"{CONNECTION}:asgi"))
    assert httpx.get(host.url("/")).json()["tls"] is None


def test_client_certificates(start_host: StartHost, files: Files) -> None:
    """S31, S13: where a client certificate is required, the app learns whose it is."""
    host = serve(start_host, files, "--ssl-ca-certs", files.cafile, "--ssl-cert-reqs", "required")
    leaf = files.ca.issue_cert("someone@example.org", common_name="Someone")
    url = host.url("/", "https")
    answer = httpx.get(url, verify=with_client_certificate(files, leaf)).json()
    assert answer["tls"]["client_cert_name"].startswith("CN=Someone")
    assert answer["tls"]["client_cert_chain"][0] == leaf.cert_chain_pems[0].bytes().decode()
    with pytest.raises(httpx.TransportError):
        httpx.get(url, verify=client_context(files))


def test_certificates_are_reloaded_on_sighup(
    start_host: StartHost, files: Files, tmp_path: Path
) -> None:
    """S31: SIGHUP reads the certificate again; open connections go on as they are."""
    host = serve(start_host, files)
    old = shown_certificate(host, files)
    with httpx.Client(verify=client_context(files)) as client:
        url = host.url("/", "https")
        before = client.get(url).json()["tls"]["server_cert"]
        write(tmp_path, files.ca)
        host.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 10
        while shown_certificate(host, files) == old:
            assert time.monotonic() < deadline, "the new certificate never came"
        assert client.get(url).json()["tls"]["server_cert"] == before
    fresh = httpx.get(url, verify=client_context(files)).json()["tls"]["server_cert"]
    assert fresh != before


def test_a_broken_certificate_on_sighup(start_host: StartHost, files: Files) -> None:
    """S31: if the new files are broken the server says so, and goes on with the old ones."""
    host = serve(start_host, files)
    Path(files.certfile).write_text("broken")
    host.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + 10
    while "the certificates stay as they are" not in host.log():
        assert time.monotonic() < deadline, "the error was never told"
        time.sleep(0.01)
    url = host.url("/", "https")
    assert httpx.get(url, verify=client_context(files)).status_code == 200


def test_nonsense_to_a_tls_port(start_host: StartHost, files: Files) -> None:
    """S31: a client that sends nonsense to a TLS port is cut off; others are served."""
    host = serve(start_host, files)
    for data in (b"\x00\x01\r\n\r\n", b"\x16\x03\x01\x00\x05nonsense", b""):
        with host.connect() as sock:
            answer = b""
            with suppress(OSError):  # the server may have closed at any point
                sock.sendall(data)
                sock.shutdown(socket.SHUT_WR)
                answer = sock.recv(1000)
            assert not answer.startswith(b"HTTP/")
    url = host.url("/", "https")
    assert httpx.get(url, verify=client_context(files)).status_code == 200
    assert "Traceback" not in host.log()


def test_a_handshake_that_never_ends(start_host: StartHost, files: Files) -> None:
    """S31, S2: a client that connects and says nothing is cut off after the header's time."""
    host = serve(start_host, files, "--timeout-header", "1")
    with host.connect(timeout=20) as sock:
        try:
            assert sock.recv(100) == b""
        except ConnectionResetError:
            pass


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_idle_clients_do_not_hold_up_the_end(
    start_host: StartHost, files: Files, version: ssl.TLSVersion
) -> None:
    """P2, S31: a server stops although idle TLS clients never say goodbye."""
    host = serve(start_host, files)
    context = client_context(files)
    context.maximum_version = version
    with host.connect() as plain, context.wrap_socket(plain, server_hostname="127.0.0.1") as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert sock.recv(15) == b"HTTP/1.1 200 OK"
        assert host.stop(timeout=10) == 0
    assert "still busy" not in host.log()


def test_a_slow_reader_gets_all_before_the_end(start_host: StartHost, files: Files) -> None:
    """P2, S31: what a slow TLS client has not read yet when the server stops still arrives."""
    host = start_host(
        bridge(
            "tests.support.apps.large:wsgi",
            *("--ssl-certfile", files.certfile, "--ssl-keyfile", files.keyfile),
        )
    )
    with (
        host.connect() as plain,
        client_context(files).wrap_socket(plain, server_hostname="127.0.0.1") as sock,
    ):
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        total = len(sock.recv(1000))
        host.process.send_signal(signal.SIGTERM)
        while data := sock.recv(100_000):
            total += len(data)
            time.sleep(0.005)  # the pace of a slow reader
    assert total > 8 * 1024 * 1024
    assert host.stop() == 0


def test_large_answers_over_tls(start_host: StartHost, files: Files) -> None:
    """S31: an answer of many TLS records arrives whole, also to a slow reader."""
    host = start_host(
        bridge(
            "tests.support.apps.large:wsgi",
            *("--ssl-certfile", files.certfile, "--ssl-keyfile", files.keyfile),
        )
    )
    with (
        httpx.Client(verify=client_context(files)) as client,
        client.stream("GET", host.url("/", "https")) as response,
    ):
        total = 0
        for chunk in response.iter_raw():
            total += len(chunk)
    assert total == 8 * 1024 * 1024
