"""What scripts/check asks beyond lint and types: do the pages tell the truth?"""
