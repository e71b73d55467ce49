# uwsgi --http-socket 127.0.0.1:8000 --master --processes 2 --threads 16 --enable-threads --die-on-term --pythonpath . --module examples.asgi_on_wsgi.on_uwsgi:application
"""uWSGI: each forked process has an event loop and a lifespan of its own.

Without --enable-threads (or --threads) the loop does not run between two requests.
"""

from bridge import AsgiToWsgi
from examples.asgi_on_wsgi.clock import app

application = AsgiToWsgi(app)
