"""An HTTP/1.1 server for the Engine API, on asyncio's transports and nothing else.

It is our own because of what the Engine API does to HTTP: connections are taken over in the middle
(attach), half-closed (the end of standard input), and answered before the answer is known (wait).
It also starts in a fifth of the time and half of the memory of a general server
(docs/dependencies.md has the figures).

    bytes --> RequestParser --> Connection --> application(Request) --> Reply | Stream | Hijack
              no I/O            one task       what the API is
"""
