"""What the help of `run` marks with "(not yet)" is what the daemon refuses."""

import pytest

from wherry.api.decoding import decode
from wherry.cli.create.flags import RUN_FLAGS
from wherry.cli.create.request import read_request
from wherry.cli.flags import parse
from wherry.client.calls import json_body
from wherry.engine.fields import refuse_unsupported
from wherry.engine.model import CreateRequest
from wherry.errdefs import EngineError, Kind

VALUES = {
    "health-cmd": "true", "health-interval": "1s", "health-retries": "3",
    "health-start-interval": "1s", "health-start-period": "1s", "health-timeout": "1s",
    "restart": "always", "volumes-from": "web", "storage-opt": "size=1g", "publish": "80:80",
    "ip": "10.0.0.1", "ip6": "fe80::1", "link": "web", "link-local-ip": "169.254.0.1",
    "mac-address": "02:42:ac:11:00:02", "network-alias": "web", "cpu-rt-period": "1000",
    "cpu-rt-runtime": "1000",
}  # fmt: skip
LATER = [flag for flag in RUN_FLAGS if flag.later]


@pytest.mark.parametrize("flag", LATER, ids=lambda flag: flag.name)
def test_it_is_refused(flag) -> None:
    word = f"--{flag.name}" + (f"={VALUES[flag.name]}" if flag.metavar else "")
    # How often means nothing without what.
    words = [word, "--network=mine", *(["--health-cmd=x"] if "health" in word else [])]
    parsed = parse(RUN_FLAGS, [*words, "busybox"], interspersed=False)
    request = read_request(parsed, detached=False)
    with pytest.raises(EngineError) as caught:
        refuse_unsupported(decode(json_body(request.body), CreateRequest))
    assert caught.value.kind is Kind.NOT_IMPLEMENTED


def test_what_is_not_marked_is_not_refused() -> None:
    words = "-it --rm -e A=b -v /a:/b -m 64m --cpus 1 --network none --init=false --user 1 -w /"
    parsed = parse(RUN_FLAGS, [*words.split(), "busybox"], interspersed=False)
    request = read_request(parsed, detached=False)
    refuse_unsupported(decode(json_body(request.body), CreateRequest))
