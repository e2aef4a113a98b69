"""Measuring: how long each way of running a network takes, and what half precision costs."""
