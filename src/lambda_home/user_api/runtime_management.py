"""Operations on the runtime version that a function uses."""
