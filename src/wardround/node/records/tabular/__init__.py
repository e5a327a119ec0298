"""Files of rows: separated values read with care, and what has to be remembered of millions of them."""
