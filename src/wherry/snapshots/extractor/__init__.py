"""The careful extractor: hostile archives are unpacked by a child that can reach nothing else.

    daemon                                   child (python -I -S)
      |  fork, exec ------------------------->|  imports all it needs
      |                                       |  own mount, network, IPC namespaces
      |                                       |  the target is its root; capabilities dropped
      |  the tar, hashed on its way --------->|  files, links, devices
      |  end of stream ---------------------->|  whiteouts, directories' times
      |<---------------- a report, or a kind --|
      |                       and a message   |  exit
      |  digest compared

`feed` is the daemon's side, `child` the confinement, `unpack` the rules.
"""
