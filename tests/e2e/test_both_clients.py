"""The stock command line and ours with the same daemon: the same output, exit code and effect.

Each of them says all lines to a daemon of its own that was begun alike. What differs by nature
(times, IDs) is put into one form first.
"""

import re
import shlex
from pathlib import Path

import archives
import daemons
import differential
import pytest
from programs import Done, find

pytestmark = [pytest.mark.root, pytest.mark.peer]

# Three containers are there: web runs, old has ended, and terminal had one.
TALK = "echo 1; echo 2 >&2; sleep 0.1; echo 3; exit 3"
EVENTS = "events --since 1h --until 0s -f"
SIZES = "system df -v --format '{{range .Images}}{{.Repository}} {{.UniqueSize}} {{end}}'"
LINES = (
    """
ps
ps -a
ps -aq --filter name=web
ps -aq --no-trunc --filter name=web
ps -a --format '{{.Names}} {{.Image}} {{.State}}' --filter name=web --filter name=old
ps -a --filter status=exited --filter name=old --format '{{.Names}}|{{.Status}}|{{.Command}}'
ps -a --filter name=web --format 'table {{.Names}}\\t{{.Image}}\\t{{.Ports}}'
ps -a --filter name=web --format json
ps -as --filter name=web --format '{{.Size}} {{.LocalVolumes}} {{.Mounts}}'
ps -a --filter label=which=web --format '{{.Label "which"}} {{.Labels}}'
ps --filter nonsense=1
ps --filter status=nonsense
ps --format '{{.Nonsense}}'
container ls --format '{{upper .Names}}' --filter name=web
container ps -q --filter name=none
ps -a --last 0 --filter name=web --format '{{.Names}}'
ps -n 1 --format '{{.State}}'
images
images -q
images --no-trunc
images --digests
images box --format '{{.Repository}}:{{.Tag}} {{.ID}} {{.Size}}'
images --format json
images nothing
images --filter reference='b*' --format '{{.Repository}}'
images --filter dangling=true
images --filter nonsense=1
image ls -a
image inspect box
image inspect nothing
image inspect -f '{{.Id}} {{json .Config.Env}} {{.Architecture}}' box
history box
history --no-trunc --format '{{.CreatedBy}}|{{.Size}}' box
history -q box
history nothing
tag box tag:1
tag nothing tag:1
tag box UPPER
rmi tag:1
rmi tag:1
rmi -f tag:1
image rm tag:2 nothing
inspect web
inspect -f '{{.State.Status}} {{.State.Running}} {{.HostConfig.Memory}} {{json .Mounts}}' web
inspect -f '{{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}}' web
inspect -f '{{index .Config.Labels "which"}}{{index .Config.Labels "nothing"}}|' web
inspect -f '{{.HostConfig.Binds}} {{len .HostConfig.CapAdd}} {{.Config.Volumes}}' web
inspect -f '{{range .Config.Env}}{{println .}}{{end}}' web
inspect -f '{{.Nonsense}}' web
inspect -f '{{.Name' web
inspect --type image web
inspect -s -f '{{.SizeRw}}' web
inspect nothing web
inspect box -f '{{.RepoTags}}'
container inspect nothing
logs old
logs --tail 1 old
logs -n 0 old
logs --since 1h --until 1s old
logs nothing
logs --tail x old
logs terminal
wait old
wait nothing old
start old nothing
start -a old
wait old
start -a old
start -a web old
start -a nothing
stop -t 0 old
stop nothing
kill -s 0 old
kill -s NONSENSE web
kill nothing web
restart -t 0 web
container restart -t 0 nothing web
rename web web2
rename nothing other
rename web2 web2
rename web2 '!'
rename web2 web
create --name made --network none -l a=b box echo made
create --name made --network none box
create nothing
start -a made
attach made
run --rm --network none box echo hello
run --rm --network none box sh -c 'echo out; echo err >&2; exit 3'
run --rm --network none box nonsense
run --rm --network none box /etc
run --rm --network none -e A=b -w /tmp --hostname h box sh -c 'echo $A $PWD; hostname'
run --rm -i --network none box cat <<< typed
run -d --network none --name ran box true
run --rm --network none --name ran box true
run --rm --network none -m 1 box true
run --rm --network none --publish 80:80 box true
run --rm --network none --gpus all box true
run -it --rm --network none box true
run
wait ran
rm ran made
rm ran
rm -f ran web2
container rm nothing old
save -o @folder/saved.tar box
save nothing
load -q -i @folder/saved.tar
load -i @folder/nothing
import -m said -c 'CMD ["x"]' @folder/root.tar imported:1
image inspect -f '{{.Comment}} {{.Config.Cmd}} {{.RepoTags}}' imported:1
rmi imported:1
system df --format '{{.Type}} {{.TotalCount}} {{.Active}} {{.Size}} {{.Reclaimable}}'
system df
SIZES
system df nonsense
EVENTS type=image -f image=tag:1 --format '{{.Action}} {{.Actor.Attributes.name}}'
EVENTS container=ran --format '{{.Type}} {{.Action}} {{.Actor.Attributes.image}}'
EVENTS container=ran
EVENTS container=ran --format json
system events --since nonsense
info --format '{{.Driver}} {{.ServerVersion}} {{.NCPU}}'
info -f '{{json .SecurityOptions}}'
version --format '{{.Server.Version}} {{.Server.Os}}/{{.Server.Arch}}'
ps --nonsense
nonsense
container nonsense
rm
""".strip()
    .replace("EVENTS", EVENTS)
    .replace("SIZES", SIZES)
    .splitlines()
)

# What each says in its own way, and why.
OTHERWISE = {
    "images --format json": "1.51, which ours speaks, counts an image's containers; 1.50 does not",
    "tag box UPPER": "the stock one looks at the name itself before it asks",
    "run --rm --network none --gpus all box true": "ours refuses it itself, with a way out",
    SIZES: "the stock one leaves the last line without an end",
}

_NATURE = [
    (r'"(Pid|time|timeNano)":\s*\d+', r'"\1":0'),
    (r"/tmp/wherry-e2e-\w+", "/tmp/root"),
    (r"name=[a-z]+_[a-z]+\b", "name=random_name"),
    (r"execDuration=\d+", "execDuration=0"),
    (r'"execDuration":"\d+"', '"execDuration":"0"'),
]


def say_all(name: str, folder: Path) -> list[Done]:
    """What a command line says to each line, with a daemon that nobody else speaks to."""
    differential.fill(folder)
    (folder / "root.tar").write_bytes(archives.busybox_layer())
    with daemons.running() as daemon:
        assert daemon.load(archives.image("box:latest")).status == 200
        address = f"unix://{daemon.socket}"
        # What is there before comes of one hand.
        run = ("run", "--network", "none", "--label", "which=mine")
        stock = find("docker", address)
        stock.ok(*run, "--name", "web", "-d", "box", "sh", "-c", "exec sleep 1000")
        stock.run(*run, "--name", "old", "box", "sh", "-c", TALK)
        stock.ok(*run, "--name", "terminal", "-t", "box", "echo", "on a terminal")
        program = find(name, address)
        outcomes = []
        for line in LINES:
            text, _, data = line.partition(" <<< ")
            words = [word.replace("@folder", str(folder)) for word in shlex.split(text)]
            done = program.run(*words, stdin=data.encode() if data else None)
            out, err = (normal(text, folder) for text in (done.out, done.err))
            outcomes.append(Done(done.code, out, err))
        return outcomes


def normal(text: str, folder: Path) -> str:
    text = differential.normalised(text, folder)
    for pattern, instead in _NATURE:
        text = re.sub(pattern, instead, text)
    return text


def of_the_daemon(text: str) -> list[str]:
    """The daemon's words among what is on standard error; the other words are each one's own."""
    found = re.findall(
        r"^(?:docker: |wherry: )?(Error response from daemon: .*)$", text, re.MULTILINE
    )
    return sorted(found)


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Done, Done]]:
    theirs, ours = (say_all(name, tmp_path_factory.mktemp(name)) for name in ("docker", "wherry"))
    return list(zip(theirs, ours, strict=True))


@pytest.mark.parametrize("at", range(len(LINES)), ids=LINES)
def test_they_say_the_same(said: list[tuple[Done, Done]], at: int) -> None:
    theirs, ours = said[at]
    same = (theirs.code, theirs.out, of_the_daemon(theirs.err)) == (
        ours.code, ours.out, of_the_daemon(ours.err),
    )  # fmt: skip
    if LINES[at] in OTHERWISE:
        assert not same, "it is no difference any more"
        return
    assert ours.out == theirs.out
    assert ours.code == theirs.code, (ours, theirs)
    assert of_the_daemon(ours.err) == of_the_daemon(theirs.err)
    assert bool(ours.err) == bool(theirs.err), (ours, theirs)
