"""A farm as a service: its tickets, its reception, and what a start takes up again."""
