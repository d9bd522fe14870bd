"""An assembler for classic BPF, the language of seccomp's filters.

A program is put together from its end: classic BPF only jumps forward, so whatever an instruction
jumps to is there already, and its distance is known. A label is the place of an instruction
counted from the end.

    program = Assembler()
    allow = program.ret(0x7FFF0000)
    kill = program.ret(0)
    program.jump(JEQ, 59, allow, kill)      # if A == 59: allow, else: kill
    program.load(0)                         # A = seccomp_data.nr
    program.assemble()                      # load, jump, kill, allow
"""

import struct

from wherry import errdefs

# <linux/bpf_common.h>
LD_W_ABS = 0x20
AND_K = 0x54
JA = 0x05
JEQ = 0x15
JGT = 0x25
JGE = 0x35
RET_K = 0x06

# BPF_MAXINSNS; the kernel answers EINVAL to more.
MAX_INSTRUCTIONS = 4096

# jt and jf are bytes. Two less, because bringing one target near can push the other away.
_REACH = 253

# struct sock_filter { __u16 code; __u8 jt; __u8 jf; __u32 k; }, in the machine's byte order.
_SOCK_FILTER = struct.Struct("=HBBI")


class Assembler:
    """Emits instructions from the last to the first; every method returns the emitted label."""

    def __init__(self) -> None:
        self._code: list[tuple[int, int, int, int]] = []
        self._returns: dict[int, int] = {}

    def ret(self, action: int) -> int:
        """End with `action`; the nearest earlier place that does so is taken, if there is one."""
        label = self._returns.get(action)
        if label is None:
            label = self._returns[action] = self._emit(RET_K, 0, 0, action)
        return label

    def load(self, offset: int) -> int:
        """A = the 32-bit word at `offset` in seccomp_data."""
        return self._emit(LD_W_ABS, 0, 0, offset)

    def mask(self, bits: int) -> int:
        """A &= bits."""
        return self._emit(AND_K, 0, 0, bits)

    def jump(self, test: int, value: int, true: int, false: int) -> int:
        """Go to `true` if A compares to `value` as `test` says, else to `false`."""
        true = self._near(true)
        false = self._near(false)
        here = len(self._code)
        return self._emit(test, here - true - 1, here - false - 1, value)

    def follow(self, label: int) -> int:
        """Make what is emitted next fall through to `label`."""
        here = len(self._code)
        return label if label == here - 1 else self._emit(JA, 0, 0, here - label - 1)

    def assemble(self) -> bytes:
        """The program as an array of struct sock_filter.

        Raises EngineError INVALID_ARGUMENT if it has more instructions than the kernel takes.
        """
        if len(self._code) > MAX_INSTRUCTIONS:
            raise errdefs.invalid(
                f"seccomp: the profile compiles to {len(self._code)} instructions, "
                f"the kernel takes {MAX_INSTRUCTIONS}: use fewer argument conditions"
            )
        return b"".join(_SOCK_FILTER.pack(*code) for code in reversed(self._code))

    def _near(self, label: int) -> int:
        """A label with the meaning of `label` that one byte can reach."""
        if len(self._code) - label <= _REACH:
            return label
        code, _, _, action = self._code[label]
        if code != RET_K:
            return self.follow(label)
        if len(self._code) - self._returns[action] > _REACH:
            del self._returns[action]
        return self.ret(action)

    def _emit(self, code: int, true: int, false: int, value: int) -> int:
        self._code.append((code, true, false, value))
        return len(self._code) - 1
