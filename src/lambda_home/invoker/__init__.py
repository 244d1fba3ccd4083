"""The one door through which every invocation comes."""
