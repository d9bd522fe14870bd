"""The Engine API's client: `engine.EngineClient` blocks, `aio.AsyncEngineClient` awaits.

It speaks to Wherry's daemon and to Docker's alike. Both clients stand on the same parts without
input and output: `calls` (what to ask), `http` (bytes in, events out) and `multiplex` (a stream's
frames). The synchronous one is what the command line stands on, so this room imports only what is
cheap: `http.client` alone costs more than the whole of `wherry ps`.
"""
