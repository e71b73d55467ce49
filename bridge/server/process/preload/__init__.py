"""`--preload`: the app is imported once, in a process that workers are forked from (P11)."""
