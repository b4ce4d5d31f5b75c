"""The use cases: each an `async def` over a Transaction, for hosts of either colour."""
