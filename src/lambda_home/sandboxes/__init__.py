"""Where execution environments run: one port, an adapter per kind of sandbox."""
