"""Builds the C codec (bridge/codec/_codec.c) beside what pyproject.toml says.

Where there is no compiler the install succeeds without it, and the codec is the Python one. The
variable OPENXC_BRIDGE_EXTENSION changes that, for developers and for CI:

    required   a build without it fails, and so does any warning of the compiler
    sanitize   the same, with AddressSanitizer and UndefinedBehaviorSanitizer built in
    none       it is not built
"""

import os
import sysconfig

from setuptools import Extension, setup

MODE = os.environ.get("OPENXC_BRIDGE_EXTENSION", "optional")
STRICT = ["-Wall", "-Wextra", "-Werror", "-Wconversion", "-Wshadow", "-Wstrict-prototypes"]
SANITIZERS = "-fsanitize=address,undefined,float-cast-overflow"
# Python's own flags may define signed overflow (-fwrapv), and hide it with that.
SANITIZE = [SANITIZERS, "-fno-sanitize-recover=all", "-fno-wrapv", "-fno-omit-frame-pointer", "-O1", "-g"]

# One wheel per platform serves every Python from 3.11 on; a build without the GIL has no stable ABI.
STABLE_ABI = not sysconfig.get_config_var("Py_GIL_DISABLED")

if MODE not in ("optional", "required", "sanitize", "none"):
    raise SystemExit(f"OPENXC_BRIDGE_EXTENSION is required, sanitize or none, not {MODE!r}")

extension = Extension(
    "bridge.codec._codec",
    ["bridge/codec/_codec.c", "bridge/codec/_lines.c", "bridge/codec/_socketcan.c"],
    depends=["bridge/codec/_codec.h"],
    define_macros=[("Py_LIMITED_API", "0x030B0000")] if STABLE_ABI else [],
    py_limited_api=STABLE_ABI,
    # No fused multiply-add: products and sums are rounded one after the other, as Python does it.
    extra_compile_args=[
        "-std=c11",
        "-O3",
        "-g0",
        "-ffp-contract=off",
        "-fvisibility=hidden",
        *(STRICT if MODE in ("required", "sanitize") else []),
        *(SANITIZE if MODE == "sanitize" else []),
    ],
    extra_link_args=[SANITIZERS] if MODE == "sanitize" else [],
    optional=MODE == "optional",
)

# A directory for each mode: no build takes what another one left for up to date.
options = {"build": {"build_base": f"build/{MODE}"}}
if STABLE_ABI and MODE != "none":
    options["bdist_wheel"] = {"py_limited_api": "cp311"}

setup(ext_modules=[] if MODE == "none" else [extension], options=options)
