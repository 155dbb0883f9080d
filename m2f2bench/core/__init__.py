"""Plain records and what every room needs: errors, files, caches, limits on what is read."""
