"""Every number in the documentation that is about speed or memory comes from a command here."""
