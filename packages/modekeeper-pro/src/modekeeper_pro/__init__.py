"""The licensed part of ModeKeeper: the one door through which a cluster is changed."""
