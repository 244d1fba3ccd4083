"""What tests of one's own stand on: a server in a process of its own, and functions for it."""
