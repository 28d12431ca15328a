//! Files and their attributes.
