//! logrotate
