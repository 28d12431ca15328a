//! The cache of the last run.
