"""Which cases show the same picture, exactly or nearly. Workers import `likeness` alone, which loads numpy and no tables."""
