"""All results of a report compared: the leaderboard, changes, portraits, published rows."""
