//! What may leave the building: results, receipts and refusals.
