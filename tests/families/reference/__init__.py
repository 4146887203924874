"""A module for each family: its tiny models (`MODELS`) and their reference code."""
