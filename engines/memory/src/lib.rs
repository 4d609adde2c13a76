//! engine memory
