"""Operations on function URL configurations."""
