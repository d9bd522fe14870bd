"""Bytes into requests, however they are cut."""

import contextlib
import itertools
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wherry.api.http.messages import Head, HTTPError
from wherry.api.http.parser import MAX_HEAD, End, Event, RequestParser, parse_head

EXAMPLES = 2000 if os.environ.get("WHERRY_SOAK") == "1" else 100

PLAIN = b"POST /a?b=c HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"POST /load HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\nTrailer: x\r\n\r\n"
)
BARE = b"GET /_ping HTTP/1.1\r\n\r\n"


def parse(data: bytes, cuts: list[int]) -> list[list[Event]]:
    """The events of each request in `data`, fed in the pieces that `cuts` make."""
    parser = RequestParser()
    requests: list[list[Event]] = [[]]
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]

    def take(events: list[Event]) -> None:
        for event in events:
            requests[-1].append(event)
        if End.OF_REQUEST in events:
            requests.append([])
            take(parser.next_request())

    for begin, end in itertools.pairwise(places):
        take(parser.feed(data[begin:end]))
    return requests


def body_of(events: list[Event]) -> bytes:
    return b"".join(event for event in events if isinstance(event, bytes))


@settings(max_examples=EXAMPLES)
@given(st.lists(st.integers(0, 1000), max_size=30))
def test_cuts_do_not_matter(cuts: list[int]) -> None:
    *requests, unfinished = parse(PLAIN + CHUNKED + BARE, cuts)
    assert unfinished == []
    assert [body_of(events) for events in requests] == [b"hello", b"hello world", b""]
    assert [events[-1] for events in requests] == [End.OF_REQUEST] * 3
    heads = [events[0] for events in requests]
    assert [head.method for head in heads if isinstance(head, Head)] == ["POST", "POST", "GET"]


@settings(max_examples=EXAMPLES)
@given(st.binary(max_size=300))
def test_noise_is_refused_or_waited_for(data: bytes) -> None:
    with contextlib.suppress(HTTPError):
        RequestParser().feed(data)


def test_what_follows_a_request_is_kept_for_a_takeover() -> None:
    parser = RequestParser()
    events = parser.feed(BARE + b"early bytes")
    assert events[-1] is End.OF_REQUEST
    parser.feed(b" and more")
    assert parser.waiting == len(b"early bytes and more")
    assert parser.rest() == b"early bytes and more"


def test_headers_are_folded_to_lower_case_and_joined() -> None:
    head = parse_head(b"GET /x HTTP/1.0\r\nA-B: 1 \r\na-b:\t2\r\nC:")
    assert head.headers == {"a-b": "1, 2", "c": ""}
    assert not head.wants_keep_alive()
    assert parse_head(b"GET / HTTP/1.0\r\nConnection: Keep-Alive").wants_keep_alive()
    assert not parse_head(b"GET / HTTP/1.1\r\nConnection: close").wants_keep_alive()


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 505),
        (b"GET /a b HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n folded: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nSpace : x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: \r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400),
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", 400),
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 5000, 400),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * (MAX_HEAD + 1), 431),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * (MAX_HEAD + 1) + b"\r\n\r\n", 431),
    ],
)
def test_refusals(data: bytes, status: int) -> None:
    with pytest.raises(HTTPError) as caught:
        RequestParser().feed(data)
    assert caught.value.status == status


def test_an_idle_parser_knows_it() -> None:
    parser = RequestParser()
    assert parser.idle
    parser.feed(b"GET")
    assert not parser.idle
