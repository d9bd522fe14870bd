"""TLS as bytes: what each side says arrives, and each may end without the other."""

import ssl
from pathlib import Path

import certificates
import pytest

from wherry.tls import Wire


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> certificates.Certificates:
    return certificates.issue(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(params=["TLSv1_2", "TLSv1_3"])
def pair(request: pytest.FixtureRequest, certs: certificates.Certificates) -> tuple[Wire, Wire]:
    """A client and a server that have shaken hands."""
    client, server = wires(certs, ssl.TLSVersion[request.param])
    shake_hands(client, server)
    assert client.ready
    assert server.ready
    return client, server


def wires(
    certs: certificates.Certificates, version: ssl.TLSVersion, name: str = "localhost"
) -> tuple[Wire, Wire]:
    here = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    here.load_verify_locations(certs.ca)
    here.minimum_version = here.maximum_version = version
    there = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    there.load_cert_chain(certs.server.cert, certs.server.key)
    return Wire(here, server_side=False, hostname=name), Wire(there, server_side=True)


def shake_hands(client: Wire, server: Wire) -> None:
    client.shake_hands()
    for _ in range(3):
        server.receive(client.outgoing())
        client.receive(server.outgoing())


def test_there_and_back(pair: tuple[Wire, Wire]) -> None:
    for one, other in (pair, pair[::-1]):
        one.send(b"x" * 100_000)
        assert other.receive(one.outgoing()) == b"x" * 100_000
        assert not other.ended


def test_any_cut(pair: tuple[Wire, Wire]) -> None:
    client, server = pair
    client.send(b"some words")
    sent = client.outgoing()
    assert b"".join(server.receive(sent[at : at + 1]) for at in range(len(sent))) == b"some words"


@pytest.mark.parametrize("turned", [False, True])
def test_one_ends_and_the_other_goes_on(pair: tuple[Wire, Wire], turned: bool) -> None:
    one, other = pair[::-1] if turned else pair
    one.send(b"last")
    one.end()
    assert other.receive(one.outgoing()) == b"last"
    assert other.ended
    other.send(b"still here" * 10_000)
    sent = other.outgoing()
    heard = one.receive(sent[:5_000])
    heard += one.receive(sent[5_000:])
    assert heard == b"still here" * 10_000
    assert not one.ended
    other.end()
    assert one.receive(other.outgoing()) == b""
    assert one.ended


def test_an_end_in_the_middle_of_what_is_heard(pair: tuple[Wire, Wire]) -> None:
    client, server = pair
    server.send(b"a record")
    sent = server.outgoing()
    assert client.receive(sent[:7]) == b""
    client.end()
    assert client.receive(sent[7:]) == b"a record"
    assert server.receive(client.outgoing()) == b""
    assert server.ended


def test_the_name_counts(certs: certificates.Certificates) -> None:
    client, server = wires(certs, ssl.TLSVersion.TLSv1_3, "elsewhere")
    with pytest.raises(ssl.SSLCertVerificationError, match="not valid for 'elsewhere'"):
        shake_hands(client, server)
    with pytest.raises(ssl.SSLError, match="ALERT"):  # which says so to the other side
        server.receive(client.outgoing())


def test_what_is_no_tls(certs: certificates.Certificates, tmp_path: Path) -> None:
    _, server = wires(certs, ssl.TLSVersion.TLSv1_3)
    with pytest.raises(ssl.SSLError):
        server.receive(b"GET / HTTP/1.1\r\n\r\n")
