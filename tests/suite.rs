//! The tests against a real server, one file a room.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stderr)]

mod common;

mod access;
mod action;
mod adoption;
mod anonymize;
mod archive;
mod clients;
mod config;
mod doctor;
mod entry_points;
mod export;
mod failing;
mod faults;
mod fuzz;
mod golden;
mod guards;
mod hints;
mod hostile;
mod indexes;
mod large_tables;
mod lists;
mod maintenance;
mod metrics;
mod migrate;
mod objects;
mod ping;
mod pooler;
mod preflight;
mod program;
mod readme;
mod record;
mod released;
mod repair;
mod sandbox;
mod schedule;
mod settings;
mod settling;
mod snapshot;
mod start;
mod stats;
mod summary;
mod upgrade;
mod verify;
mod waits;
