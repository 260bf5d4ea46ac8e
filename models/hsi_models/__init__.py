"""Networks and their weights, on their own: knows nothing of the program that uses them."""
