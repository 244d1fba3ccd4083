"""Functions that run the code of a folder of this machine, and follow its changes."""
