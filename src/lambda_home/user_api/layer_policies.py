"""Operations on the policies of layer versions."""
