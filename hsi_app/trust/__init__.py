"""Can the result be believed? What was removed, which bands are still noisy, whether targets are still found."""
