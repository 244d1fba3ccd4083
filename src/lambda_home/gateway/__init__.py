"""Plain HTTP to functions: the path proxy and function URLs."""
