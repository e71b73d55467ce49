"""The project as a WSGI app: ``asgi-bridge serve mysite.wsgi``."""

import os

from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")

# A real site would serve static files by WhiteNoise or a web server.
application = StaticFilesHandler(get_wsgi_application())
