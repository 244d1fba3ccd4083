"""Which execution environment runs which invocation, and when one starts or stops."""
