//! What is on this host, observed for real: network namespaces, veths, bridges, and a Docker engine.
//! Needs root, `ip`, and for the Docker part `docker` with a running engine.

mod docker;
mod engine;
mod fake_engine;
mod host;
mod netlink;
mod observer;
