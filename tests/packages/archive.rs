//! The release's archive: what is in it, that its binary needs nothing, and that others find it.

use std::fs;
use std::path::PathBuf;

use crate::common::{Run, clean, not_run};
use crate::{ROOT, VERSION, built, dist, folder, shell, target, tree};

/// The unpacked archive.
fn unpacked() -> (tempfile::TempDir, PathBuf) {
    let folder = folder();
    let archive = built(&format!("sessctl-v{VERSION}-"), ".tar.gz");
    shell(folder.path(), &format!("tar -xzf '{}'", archive.display()));
    let inside = folder.path().join(format!("sessctl-v{VERSION}-{}", target()));
    (folder, inside)
}

#[test]
fn the_checksums_are_those_of_the_files() {
    shell(&dist(), "sha256sum --check --strict --quiet SHA256SUMS");
    let listed = shell(&dist(), "cut -c 67- SHA256SUMS | sort");
    let there = shell(&dist(), "ls -p | grep -v / | grep -v SHA256SUMS | sort");
    assert_eq!(listed, there);
}

#[test]
fn the_archive_has_the_binary_with_its_texts_and_all_licenses() {
    let (_folder, inside) = unpacked();
    assert_eq!(
        tree(&inside),
        [
            "CHANGELOG.md",
            "LICENSE",
            "README.md",
            "THIRD-PARTY-LICENSES.txt",
            "completions/_sessctl",
            "completions/sessctl.bash",
            "completions/sessctl.fish",
            "man/sessctl.1",
            "sessctl",
        ]
    );
    let program = inside.join("sessctl");
    let says = |arguments: &[&str]| {
        let run = Run::of(clean(program.to_str().unwrap()).env_clear().args(arguments));
        run.ok().stdout
    };
    assert_eq!(says(&["--version"]), format!("sessctl {VERSION}\n"));
    assert_eq!(
        says(&["man"]),
        fs::read_to_string(inside.join("man/sessctl.1")).unwrap()
    );
    for (shell, file) in [("bash", "sessctl.bash"), ("zsh", "_sessctl"), ("fish", "sessctl.fish")] {
        let kept = fs::read_to_string(inside.join("completions").join(file)).unwrap();
        assert_eq!(says(&["completions", shell]), kept);
    }

    // Each crate that is linked in is listed, and stands before a text.
    let licenses = fs::read_to_string(inside.join("THIRD-PARTY-LICENSES.txt")).unwrap();
    let (list, texts) = licenses.split_once("\n\n-----").unwrap();
    let crates = list
        .lines()
        .skip(2)
        .filter(|line| !line.starts_with("the Rust") && !line.starts_with("musl"));
    let mut count = 0;
    for name in crates.map(|line| line.split(':').next().unwrap()) {
        assert!(texts.lines().any(|line| line == name), "no text for {name}");
        count += 1;
    }
    assert!(count > 100, "{count} crates");
    for text in [
        "Permission is hereby granted",
        "Apache License",
        "ISC",
        "Rich Felker",
        "Redistribution and use",
    ] {
        assert!(texts.contains(text), "{text}");
    }
}

#[test]
fn no_path_of_the_machine_that_built_it_is_in_the_binary() {
    let (_folder, inside) = unpacked();
    let program = fs::read(inside.join("sessctl")).unwrap();
    let home = std::env::var("HOME").unwrap();
    for place in [ROOT, &format!("{home}/.cargo"), "/registry/src/", "/home/"] {
        let found = program.windows(place.len()).any(|window| window == place.as_bytes());
        // The folder of the registry has a name of its own behind the replaced part.
        assert!(!found || place == "/registry/src/", "{place} is in the binary");
    }
}

/// Whether an ELF file names a program that loads its libraries.
fn is_dynamic(elf: &[u8]) -> bool {
    let number = |at: usize, bytes: usize| -> usize {
        let mut value = 0;
        for byte in elf[at..at + bytes].iter().rev() {
            value = value << 8 | usize::from(*byte);
        }
        value
    };
    assert_eq!(&elf[..5], b"\x7fELF\x02", "no ELF file of 64 bits");
    let (start, size, count) = (number(32, 8), number(54, 2), number(56, 2));
    (0..count).any(|index| number(start + index * size, 4) == 3)
}

#[test]
fn the_binary_needs_no_library() {
    let (_folder, inside) = unpacked();
    if target().ends_with("-musl") {
        assert!(!is_dynamic(&fs::read(inside.join("sessctl")).unwrap()));
    } else {
        not_run(&format!("that the binary is static: {} is not built to be", target()));
    }
    if cfg!(target_os = "linux") {
        assert!(is_dynamic(&fs::read("/bin/sh").unwrap()), "the test can't tell");
    }
}

#[test]
fn cargo_binstall_is_led_to_the_archive() {
    let mut cargo = clean("cargo");
    cargo
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(ROOT);
    let metadata = Run::of(&mut cargo).ok().json();
    let package = &metadata["packages"][0];
    let keys = &package["metadata"]["binstall"];
    let filled = |key: &str| {
        let mut text = keys[key].as_str().unwrap().to_owned();
        for (name, value) in [
            ("repo", package["repository"].as_str().unwrap()),
            ("name", "sessctl"),
            ("bin", "sessctl"),
            ("version", VERSION),
            ("target", &target()),
            ("archive-suffix", ".tar.gz"),
            ("binary-ext", ""),
        ] {
            text = text.replace(&format!("{{ {name} }}"), value);
        }
        assert!(!text.contains('{'), "{text}");
        text
    };
    let url = filled("pkg-url");
    let (place, file) = url.rsplit_once('/').unwrap();
    assert!(place.ends_with(&format!("/releases/download/v{VERSION}")), "{url}");
    assert!(dist().join(file).is_file(), "{url}");
    let (folder, _) = unpacked();
    assert!(folder.path().join(filled("bin-dir")).is_file());
    assert_eq!(keys["pkg-fmt"].as_str(), Some("tgz"));
}
