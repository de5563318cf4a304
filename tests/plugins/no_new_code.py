"""Becomes the program that is named, under the kernel's rule behind systemd's MemoryDenyWriteExecute: no memory turns into code.

python tests/plugins/no_new_code.py PROGRAM ARGUMENT…
"""

import ctypes
import errno
import os
import sys
from typing import Final

_SET: Final = 65
"""PR_SET_MDWE, inherited by whatever is run."""
_REFUSE: Final = 1


def main() -> None:
    """Set the rule, where the kernel (6.3 or newer) has it, and run the program."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_SET, _REFUSE, 0, 0, 0) != 0 and ctypes.get_errno() != errno.EINVAL:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_MDWE)")
    os.execv(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    main()
