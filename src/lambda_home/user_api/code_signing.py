"""Operations on code signing configurations."""
