//! The backup pipeline.
