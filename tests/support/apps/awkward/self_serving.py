"""A Flask app that runs itself: without ``if __name__ == "__main__"``, an import would hang."""

from __future__ import annotations

from flask import Flask

app = Flask(__name__)

app.run(port=0)
