"""Which system calls a container may make: profiles compiled to BPF, and programs installed.

    program = compile_filter(section)     # in the engine: pure, kept by the section's content
    install(program, filter_flags(section))   # in the container's init, last before execve

`section` is `linux.seccomp` of an OCI runtime specification. libseccomp isn't needed; that both
agree on every call is what the tests hold.
"""

from wherry.linux.seccomp.architectures import native
from wherry.linux.seccomp.compiler import compile_filter
from wherry.linux.seccomp.kernel import filter_flags, install

__all__ = ["compile_filter", "filter_flags", "install", "native"]
