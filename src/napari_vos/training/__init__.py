"""Making the shipped weights, and training on a user's own frames."""
