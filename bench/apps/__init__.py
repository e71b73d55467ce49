"""The apps that are served: one file per scenario, the least work that answers it.

`plain` also runs on the old CPython that meinheld needs.
"""
