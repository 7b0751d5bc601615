//! Every recipe of `config/examples`, copied as it is, does with real packets what it says, in both
//! families: on a real Docker engine, since recipes choose containers by labels and projects. Needs root.

#[path = "../common/mod.rs"]
mod common;

mod recipes;
mod scene;
