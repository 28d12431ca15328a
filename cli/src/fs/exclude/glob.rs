//! Matching one name against one pattern.
