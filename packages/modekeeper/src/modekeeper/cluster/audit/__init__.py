"""After the fact: a change under our field manager without a receipt is an incident. It reads, and changes nothing."""
