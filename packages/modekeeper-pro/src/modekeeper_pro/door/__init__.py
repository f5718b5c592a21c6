"""The one door: apply and rollback. Nothing else in the product can change a cluster."""
