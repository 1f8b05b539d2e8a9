"""All results of a report compared: the leaderboard, changes, student_reports, published rows."""
