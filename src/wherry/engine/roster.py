"""All containers, found by what people write."""

from collections.abc import Iterator

from wherry import errdefs
from wherry.engine import names
from wherry.engine.container import Container


class Roster:
    """Containers by ID and by name. A name may be reserved before its container is there."""

    def __init__(self) -> None:
        self._by_id: dict[str, Container] = {}
        self._names: dict[str, str] = {}

    def __iter__(self) -> Iterator[Container]:
        return iter(list(self._by_id.values()))

    def __len__(self) -> int:
        return len(self._by_id)

    def reserve(self, name: str | None, container_id: str) -> str:
        """Take a name, made up if None; answers it. Raises InvalidArgument, Conflict."""
        if not name:
            name = names.made_up()
            digits = 0
            while name in self._names:
                digits += 1
                name = names.made_up(digits)
            self._names[name] = container_id
            return name
        name = names.check_name(name)
        holder = self._names.setdefault(name, container_id)
        if holder != container_id:
            raise errdefs.conflict(
                f'Conflict. The container name "/{name}" is already in use by container '
                f'"{holder}". You have to remove (or rename) that container to be able to reuse '
                "that name."
            )
        return name

    def release(self, name: str, container_id: str) -> None:
        if self._names.get(name) == container_id:
            del self._names[name]

    def add(self, container: Container) -> None:
        self._by_id[container.id] = container
        self._names[container.name] = container.id

    def discard(self, container: Container) -> None:
        self._by_id.pop(container.id, None)
        self.release(container.name, container.id)

    def find(self, ref: str) -> Container:
        """By whole ID, by name, by a prefix of the ID, in this order.

        Raises NotFound; InvalidArgument if a prefix fits several.
        """
        ref = ref.removeprefix("/")
        if (found := self._by_id.get(ref)) is not None:
            return found
        if (named := self._by_id.get(self._names.get(ref, ""))) is not None:
            return named
        matches = [key for key in self._by_id if key.startswith(ref)] if ref else []
        if not matches:
            raise errdefs.not_found(f"No such container: {ref}")
        if len(matches) > 1:
            raise errdefs.invalid(f"multiple IDs found with provided prefix: {ref}")
        return self._by_id[matches[0]]

    def get(self, container_id: str) -> Container | None:
        return self._by_id.get(container_id)
