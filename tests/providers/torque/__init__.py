"""Torque: recorded answers, and a simulated server that really runs jobs."""
