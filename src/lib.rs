//! sessctl keeps the `user_sessions` table of a Supabase project: its schema, its sweeps, its cleanup, its checks.
//!
//! The library is the program without its `main`, so that tests can start the sandbox and reach each part.

mod archive;
pub mod cli;
mod commands;
pub mod config;
pub mod database;
mod doctor;
pub mod failure;
mod html;
pub mod maintenance;
pub mod migrations;
mod output;
mod ping;
mod retry;
pub mod sandbox;
pub mod schema;
mod signals;
