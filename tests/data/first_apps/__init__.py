"""The first apps of people who learn a framework, after its own documentation, made shorter."""
