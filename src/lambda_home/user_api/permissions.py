"""Operations on a function's policy, one statement at a time."""
