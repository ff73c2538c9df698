//! What a journal means.
