//! What both programs ask of the system they run on, so that there is one answer to each question.
//!
//! | Module | Does |
//! |---|---|
//! | [`files`] | writes files that are there whole or not at all |

pub mod files;
