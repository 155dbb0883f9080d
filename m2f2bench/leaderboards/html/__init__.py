"""The leaderboard as one html page that needs nothing but itself."""
