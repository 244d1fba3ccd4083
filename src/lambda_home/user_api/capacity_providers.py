"""Operations on capacity providers."""
