"""Run a module where every flock() fails, as on file systems without locks: python -m nolocks ERRNO MODULE [ARGUMENTS].

The kernel is told to answer so (seccomp), for this process and all that it starts.
"""

import ctypes
import platform
import runpy
import struct
import sys

FLOCK = {"x86_64": 73, "aarch64": 32}
LOAD, IF_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, ERROR = 0x7FFF0000, 0x00050000


def forbid(number):
    """Have flock() of this process and its children fail with an errno."""
    steps = [
        (LOAD, 0, 0, 0),
        (IF_EQUAL, 0, 1, FLOCK[platform.machine()]),
        (RETURN, 0, 0, ERROR | number),
        (RETURN, 0, 0, ALLOW),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = ctypes.create_string_buffer(struct.pack("HP", len(steps), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    for call in ((38, 1, 0, 0, 0), (22, 2, ctypes.addressof(program), 0, 0)):
        if libc.prctl(*(ctypes.c_ulong(x) for x in call)):
            raise OSError(ctypes.get_errno(), f"prctl{call[:1]} failed")


if __name__ == "__main__":
    forbid(int(sys.argv[1]))
    sys.argv = sys.argv[2:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
