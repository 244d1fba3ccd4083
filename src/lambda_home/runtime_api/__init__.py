"""The 2018-06-01 runtime API that execution environments poll."""
