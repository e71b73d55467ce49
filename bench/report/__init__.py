"""What the figures say: targets and verdicts, documents, charts and the page of the figures."""
