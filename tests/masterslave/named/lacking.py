"""A module that needs what is not there."""

import not_installed_here

print(not_installed_here)
