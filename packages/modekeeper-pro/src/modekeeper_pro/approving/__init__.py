"""``mk-approve``: how a second person reads a plan and signs it. It asks no cluster, and the door does not use it."""
