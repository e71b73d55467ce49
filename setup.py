from setuptools import Extension, setup

# Optional: if it cannot be compiled, the package is installed without it, and works.
speedups = Extension(
    "bridge.accelerator.speedups",
    ["bridge/accelerator/speedups.c"],
    depends=["bridge/accelerator/clock.h"],
    optional=True,
)
# Without it there is no greenlet runner, and all else works.
thread_locals = Extension(
    "bridge.runners.greenlets.thread_locals",
    ["bridge/runners/greenlets/thread_locals.c"],
    optional=True,
)
# Without it that runner's sockets are slower.
nonblocking = Extension(
    "bridge.runners.greenlets.nonblocking",
    ["bridge/runners/greenlets/nonblocking.c"],
    optional=True,
)
setup(ext_modules=[speedups, thread_locals, nonblocking])
