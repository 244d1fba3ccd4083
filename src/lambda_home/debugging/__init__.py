"""Functions under a debugger: its port, and a timeout that waits for it."""
