"""A folder that a deployment engineer takes away: graphs, what runs them, and proof of both."""
