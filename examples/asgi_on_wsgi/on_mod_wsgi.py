# /usr/sbin/apache2 -C "Define ROOT $PWD" -C "Define PORT 8000" -C "Define SITE $(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" -f $PWD/examples/asgi_on_wsgi/apache.conf -DFOREGROUND
"""Apache with mod_wsgi (Debian: apache2 and libapache2-mod-wsgi-py3), in daemon mode.

apache.conf beside this file is the whole configuration.
"""

from bridge import AsgiToWsgi
from examples.asgi_on_wsgi.clock import app

application = AsgiToWsgi(app)
