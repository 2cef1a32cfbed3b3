//! A new migration file must be seen by the macro that embeds them.

#[allow(clippy::print_stdout)]
fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
