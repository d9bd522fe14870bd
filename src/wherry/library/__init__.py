"""Wherry for programs: `wherry.Engine` in the program itself, `wherry.connect()` to a daemon.

    async with wherry.Engine() as engine:           # or: wherry.connect()
        await engine.images.load("busybox.tar")
        container = await engine.run("busybox", ["echo", "hello"])
        async for line in container.logs():
            print(line)
        print(await container.wait())

Both are an `AnyEngine` (`anyengine`), written once upon what `backend` asks of an engine: the
engine itself has it, and `remote` has it from a daemon, by the client. So a program can be moved
from one to the other by a word, and gets the same objects and the same errors.

This room is above engine and client, and the only one that knows both.
"""
