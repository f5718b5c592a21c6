"""What is allowed for a workload. A passport narrows what the product allows; nothing in it widens anything."""
