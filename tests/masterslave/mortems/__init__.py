"""How children and slaves were lost, what tasks have raised, and running them again."""
