# env REQUEST_METHOD=GET SERVER_NAME=localhost SERVER_PORT=80 SERVER_PROTOCOL=HTTP/1.1 PATH_INFO=/ python -m examples.asgi_on_wsgi.on_cgi
"""A CGI script: one process for each request, with startup and shutdown.

The command does what a CGI server does, and shows the response.
"""

from wsgiref.handlers import CGIHandler

from bridge import AsgiToWsgi
from examples.asgi_on_wsgi.clock import app

CGIHandler().run(AsgiToWsgi(app))
