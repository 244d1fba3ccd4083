"""Operations on layers and their versions."""
