"""The stages joined: on a run folder for the command line, as verbs for Python."""
