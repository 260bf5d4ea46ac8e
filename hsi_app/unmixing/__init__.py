"""Materials and their fractions: endmember extraction, abundances, factorisation, and the run that joins them."""
