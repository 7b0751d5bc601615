//! What is on this host: from Docker and netlink to endpoints.

pub mod model;
