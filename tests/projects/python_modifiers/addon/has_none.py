"""Has none of the functions of a modifier."""
