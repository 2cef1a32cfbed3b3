//! Embeds the files of `src/schema/objects/`, by their names. A new file there, or among the migrations, is seen by itself.

use std::env;
use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

#[allow(clippy::print_stdout)]
fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=migrations");
    println!("cargo:rerun-if-changed=src/schema/objects");
    let folder = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("src/schema/objects");
    let mut text = String::from("&[\n");
    for (prefix, folder) in [("", folder.clone()), ("tables/", folder.join("tables"))] {
        println!("cargo:rerun-if-changed={}", folder.display());
        for path in files(&folder)? {
            let name = path
                .file_stem()
                .and_then(|name| name.to_str())
                .ok_or("a name that is not UTF-8")?;
            writeln!(text, "    ({:?}, include_str!({:?})),", format!("{prefix}{name}"), path)?;
        }
    }
    text.push_str("]\n");
    fs::write(Path::new(&env::var("OUT_DIR")?).join("objects.rs"), text)?;
    Ok(())
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "sql") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}
