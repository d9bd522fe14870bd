import hashlib

import pytest

from wherry.errdefs import EngineError
from wherry.layers.chain import chain_id
from wherry.spec.digest import Digest

A, B, C = (Digest.of(name) for name in (b"a", b"b", b"c"))


def test_one_layer_is_its_own_chain():
    assert chain_id([A]) == A


def test_a_chain_is_the_digest_of_the_chain_below_and_the_layer():
    two = "sha256:" + hashlib.sha256(f"{A} {B}".encode()).hexdigest()
    assert chain_id([A, B]) == two
    assert chain_id([A, B, C]) == "sha256:" + hashlib.sha256(f"{two} {C}".encode()).hexdigest()


def test_the_order_matters():
    assert chain_id([A, B]) != chain_id([B, A])


def test_no_layers_have_no_chain():
    with pytest.raises(EngineError, match="empty stack"):
        chain_id([])
