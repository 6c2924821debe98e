"""The master: the scheduler's orders carried out, and the door that slaves come to."""
