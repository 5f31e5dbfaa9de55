//! deleted
