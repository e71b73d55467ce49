"""What the site has beside the pages in docs/: its contents, and pages made from the code."""
