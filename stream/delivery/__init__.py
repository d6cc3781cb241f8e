"""Who is sent which alerts, and how it gets there: routes, receivers, what is owed to them, the sending."""
