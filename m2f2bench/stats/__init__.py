"""Statistics that know no metric: resampling, intervals, paired tests."""
