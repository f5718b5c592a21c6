"""The folders of artifacts the commands write, from the facts the loop recorded."""
