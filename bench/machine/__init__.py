"""The machine: its cores, and the CPU time and memory of processes."""
