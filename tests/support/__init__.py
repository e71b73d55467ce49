"""What the tests share: real hosts (`hosts`), a raw client (`raw`), small apps (`apps`)."""
