"""Endpoints of the Engine API that are not served, each refused by its name."""

from wherry import errdefs
from wherry.api.calls import Call, Handler, Route
from wherry.api.http.messages import Answer, Reply

_NOT_YET = """
GET    /containers/{}/top                listing a container's processes
GET    /containers/{}/changes            listing a container's changed files
GET    /containers/{}/export             exporting a container
GET    /containers/{}/stats              a container's statistics
POST   /containers/{}/update             updating a container
POST   /containers/{}/pause              pausing a container
POST   /containers/{}/unpause            unpausing a container
GET    /containers/{}/attach/ws          attaching by a websocket
HEAD   /containers/{}/archive            copying from a container
GET    /containers/{}/archive            copying from a container
PUT    /containers/{}/archive            copying to a container
POST   /containers/prune                 pruning containers
POST   /containers/{}/exec               running a further process in a container
GET    /containers/{}/checkpoints        checkpoints
POST   /containers/{}/checkpoints        checkpoints
POST   /exec/{}/start                    running a further process in a container
POST   /exec/{}/resize                   running a further process in a container
GET    /exec/{}/json                     running a further process in a container
GET    /images/{}/attestations           attestations of images
POST   /images/{}/push                   pushing images
GET    /images/search                    searching for images
POST   /images/prune                     pruning images
POST   /commit                           committing a container
POST   /auth                             logging in to registries
POST   /volumes/create                   volumes
GET    /volumes/{}                       volumes
PUT    /volumes/{}                       volumes
DELETE /volumes/{}                       volumes
POST   /volumes/prune                    volumes
DELETE /networks/{}                      networks
POST   /networks/create                  networks
POST   /networks/{}/connect              networks
POST   /networks/{}/disconnect           networks
POST   /networks/prune                   networks
GET    /distribution/{}/json             asking registries for images
POST   /session                          BuildKit sessions
POST   /grpc                             BuildKit
"""

# Swarm's nouns; whatever is asked of them gets the same answer.
_SWARM = ("swarm", "services", "nodes", "tasks", "secrets", "configs")
_NO_SWARM = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to '
    "connect this node to swarm and try again."
)


def _refusal(what: str) -> Handler:
    message = f"{what}: not supported by this version of Wherry"

    async def refuse(call: Call) -> Answer:
        raise errdefs.not_implemented(message)

    return refuse


async def no_swarm(call: Call) -> Answer:
    raise errdefs.unavailable(_NO_SWARM)


async def options(call: Call) -> Answer:
    """Answered for every path, as dockerd does."""
    return Reply(200)


def _routes() -> list[Route]:
    routes: list[Route] = []
    for line in _NOT_YET.split("\n"):
        if line:
            method, pattern, what = line.split(maxsplit=2)
            routes.append((method, pattern, _refusal(what)))
    for noun in _SWARM:
        for method in ("GET", "POST", "DELETE"):
            routes += [(method, f"/{noun}", no_swarm), (method, f"/{noun}/{{}}", no_swarm)]
    routes.append(("OPTIONS", "/{}", options))
    return routes


ROUTES: list[Route] = _routes()
