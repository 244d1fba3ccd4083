"""Operations on a resource policy as a whole."""
