"""The machinery of the two adapters: one room for each."""
