"""The response parser: any cutting of the bytes gives the same events; no HTTP is refused."""

import os
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wherry.client.http import (
    MAX_HEAD,
    Data,
    End,
    Head,
    ProtocolError,
    ResponseParser,
    encode_chunk,
    encode_query,
    encode_request,
    quote,
)

EXAMPLES = 5000 if os.environ.get("WHERRY_SOAK") else 150


def events_of(parser: ResponseParser, pieces: list[bytes]) -> tuple[int, dict[str, str], bytes]:
    heads, body, ended = [], b"", False
    for piece in pieces:
        for event in parser.feed(piece):
            assert not ended
            if isinstance(event, Head):
                heads.append(event)
            elif isinstance(event, Data):
                assert event.data
                body += event.data
            else:
                assert isinstance(event, End)
                ended = True
    assert ended
    assert parser.done
    assert len(heads) == 1
    return heads[0].status, heads[0].headers, body


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({place % (len(data) + 1) for place in cuts} | {0, len(data)})
    return [data[a:b] for a, b in pairwise(places) if a != b]


bodies = st.lists(st.binary(min_size=1, max_size=300), max_size=5)


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    st.sampled_from(["length", "chunked", "close"]),
    bodies,
    st.lists(st.integers(0, 4000), max_size=30),
    st.booleans(),
)
def test_any_cutting_gives_the_same_events(
    framing: str, pieces: list[bytes], cuts: list[int], interim: bool
) -> None:
    body = b"".join(pieces)
    head = b"HTTP/1.1 200 OK\r\nApi-Version: 1.51\r\nServer:  Wherry \r\n"
    if framing == "length":
        message = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    elif framing == "chunked":
        chunks = b"".join(map(encode_chunk, pieces)) + encode_chunk(b"")
        message = head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks
    else:
        message = head + b"Connection: close\r\n\r\n" + body
    if interim:
        message = b"HTTP/1.1 100 Continue\r\n\r\n" + message
    fed = cut(message, cuts) + ([b""] if framing == "close" else [])
    parser = ResponseParser("GET")
    status, headers, received = events_of(parser, fed)
    assert (status, received) == (200, body)
    assert headers["api-version"] == "1.51"
    assert headers["server"] == "Wherry"
    assert parser.keep_alive == (framing != "close")


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.binary(max_size=200), st.lists(st.integers(0, 400), max_size=8))
def test_an_upgrade_hands_on_every_byte(stream: bytes, cuts: list[int]) -> None:
    message = b"HTTP/1.1 101 UPGRADED\r\nUpgrade: tcp\r\n\r\n" + stream
    parser = ResponseParser("POST", upgrade=True)
    status, _, received = events_of(parser, [*cut(message, cuts), b""])
    assert (status, received) == (101, stream)
    assert not parser.keep_alive


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.binary(max_size=400))
def test_noise_is_refused_or_waited_for(noise: bytes) -> None:
    parser = ResponseParser("GET")
    try:
        parser.feed(noise or b"x")
    except ProtocolError:
        return
    with pytest.raises(ProtocolError):
        parser.feed(b"")


def test_a_body_cut_short_is_an_error() -> None:
    message = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    for end in range(1, len(message)):
        parser = ResponseParser("GET")
        parser.feed(message[:end])
        with pytest.raises(ProtocolError, match="middle"):
            parser.feed(b"")


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (b"SSH-2.0-OpenSSH\r\n\r\n", "no HTTP"),
        (b"HTTP/2 200 OK\r\n\r\n", "no HTTP"),
        (b"HTTP/1.1 20 OK\r\n\r\n", "no HTTP"),
        (b"HTTP/1.1 2000 OK\r\n\r\n", "status"),
        (b"HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n", "malformed header"),
        (b"HTTP/1.1 200 OK\r\nNo colon\r\n\r\n", "malformed header"),
        (b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n", "malformed header"),
        (b"HTTP/1.1 200 OK\r\n: b\r\n\r\n", "malformed header"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "two different"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "no number"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1_0\r\n\r\n", "no number"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 30 + b"\r\n\r\n", "no number"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "transfer encoding"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
            "both a length and chunks",
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n",
            "without a size",
        ),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n", "without a size"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello!!", "longer than"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 2000, "longer than"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab", "more than"),
        (b"HTTP/1.1 101 UPGRADED\r\n\r\n", "without being asked"),
        (b"HTTP/1.1 200 OK\r\nA: " + b"b" * MAX_HEAD, "longer than"),
    ],
)
def test_what_is_not_http_is_refused(message: bytes, words: str) -> None:
    for pieces in ([message], [message[at : at + 1] for at in range(len(message))]):
        parser = ResponseParser("GET")
        with pytest.raises(ProtocolError, match=words):
            list(map(parser.feed, pieces))
        if len(message) > 5000:
            break


def test_head_and_no_content_have_no_body() -> None:
    for method, status in (("HEAD", 200), ("GET", 204), ("POST", 304)):
        parser = ResponseParser(method)
        events = parser.feed(b"HTTP/1.1 %d X\r\nContent-Length: 12\r\n\r\n" % status)
        assert isinstance(events[-1], End)
        assert parser.keep_alive


def test_a_200_without_length_is_a_stream_where_one_was_asked_for() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n"
    (event,) = ResponseParser("POST", upgrade=True).feed(head)
    assert isinstance(event, Head)
    assert event.upgraded


def test_a_refused_upgrade_is_an_ordinary_answer() -> None:
    events = ResponseParser("POST", upgrade=True).feed(
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}"
    )
    assert isinstance(events[0], Head)
    assert not events[0].upgraded
    assert isinstance(events[-1], End)


@pytest.mark.parametrize("bad", ["a\r\nb", "a\nb", "a\rb", "a\0b"])
def test_a_request_has_no_hidden_lines(bad: str) -> None:
    with pytest.raises(ValueError, match="line break"):
        encode_request("GET", "/", [("X", bad)])
    with pytest.raises(ValueError, match="line break"):
        encode_request("GET", bad, [])


@given(st.text())
def test_quote_is_what_urllib_unquotes(text: str) -> None:
    from urllib.parse import parse_qsl, unquote

    if any(0xD800 <= ord(char) <= 0xDFFF for char in text):
        return
    assert unquote(quote(text)) == text
    assert quote(text).isascii()
    query = encode_query([("name", text)])
    assert parse_qsl(query[1:], keep_blank_values=True) == [("name", text)]
