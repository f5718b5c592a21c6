"""The two ways a change reaches an API server. Only the door may use them."""
