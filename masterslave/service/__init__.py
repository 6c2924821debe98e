"""The master as a service: a farm that runs by itself, and scripts that come and go."""
