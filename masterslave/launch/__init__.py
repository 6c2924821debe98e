"""Ways to start slaves from here."""
