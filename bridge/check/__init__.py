"""What will and will not work if an app moves here: `asgi-bridge check` (M51).

The app is driven in this process with a few harmless requests, and watched: what it does is noted
by observers (`wsgi/`, `asgi/`).

- `requests`: what is sent, and what never is;
- `watching`: the import, threads and loops in which an app may hang, events and logs;
- `surroundings`: what libraries, settings and source say;
- `catalogue`: all that can be found, with what to do about it;
- `findings`, `places`: what was found, and where;
- `verdicts`, `report`: what all this means, in plain words and as JSON.

What was not seen is never said to work.
"""
