//! The local node's socket.
