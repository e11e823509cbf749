"""Published files -> rows."""
