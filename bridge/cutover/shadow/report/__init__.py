"""The report of a comparison: lines of JSON in a bounded file, and what they add up to."""
