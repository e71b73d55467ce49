"""Calls of the standard library that block, changed so that greenlets of ours wait (G6).

In a greenlet of the greenlet runner such a call lets the event loop have the thread until there is
something to go on with. In every other place (threads, the loop, the other runners) it does what it
always did: a call asks first where it is (`current_worker`).

Each module here is for one part of the standard library, and has a function `patch`. It changes
classes written in Python in place, so that libraries which were imported before get that, too, and
returns pairs of objects written in C and their replacements. `everywhere.py` puts these in the
place of the others. `patch.py` is what is called from outside.
"""
