//! What both programs ask of the system they run on, so that there is one answer to each question.
//!
//! | Module | Does |
//! |---|---|
//! | [`files`] | writes files that are there whole or not at all |
//! | [`homes`] | finds the home of a node and says whether it is safe to use |
//! | [`process`] | gets rid of what a daemon takes over from whoever starts it |
//! | [`say`] | says things where nobody may be listening |

pub mod files;
pub mod homes;
pub mod process;
pub mod say;
