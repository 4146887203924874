"""A module for each family: its tiny models (`MODELS`) and the code that says what they compute."""
