from setuptools import Extension, setup

# Optional: if it cannot be compiled, the package is installed without it, and works.
speedups = Extension(
    "bridge.accelerator.speedups",
    ["bridge/accelerator/speedups.c"],
    depends=["bridge/accelerator/clock.h"],
    optional=True,
)
setup(ext_modules=[speedups])
