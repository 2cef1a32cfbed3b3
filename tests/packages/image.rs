//! The container image, read without a container's tools and run as one would: in its own root, read-only, without rights.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use serde_json::Value;
use sessctl::sandbox::{Grants, Options, Sandbox};

use crate::common::{Db, Run, block_on, clean, not_run};
use crate::{VERSION, built, folder, shell, target, tree};

/// The image, with its root folder unpacked.
struct Image {
    folder: tempfile::TempDir,
    config: Value,
}

impl Image {
    /// Absent where what was built is no static binary.
    fn new() -> Option<Self> {
        if !target().ends_with("-musl") {
            not_run("the container image: it needs a static binary");
            return None;
        }
        let folder = folder();
        let file = built(&format!("sessctl-{VERSION}-image-"), ".tar");
        shell(
            folder.path(),
            &format!("mkdir layout root && tar -xf '{}' -C layout", file.display()),
        );
        let image = Self {
            folder,
            config: Value::Null,
        };
        let index = image.json("index.json");
        let manifest = image.blob_json(&index["manifests"][0]);
        let config = image.blob_json(&manifest["config"]);
        let layers = manifest["layers"].as_array().unwrap();
        assert_eq!(layers.len(), 1);
        let layer = image.blob(&layers[0]);
        let diff = shell(
            image.folder.path(),
            &format!("gzip -dc '{}' | sha256sum | cut -c 1-64", layer.display()),
        );
        assert_eq!(config["rootfs"]["diff_ids"][0], format!("sha256:{}", diff.trim()));
        shell(image.folder.path(), &format!("tar -xzpf '{}' -C root", layer.display()));
        Some(Self { config, ..image })
    }

    fn json(&self, name: &str) -> Value {
        let file = self.folder.path().join("layout").join(name);
        serde_json::from_reader(File::open(file).unwrap()).unwrap()
    }

    /// The file of a descriptor, which is what the descriptor says.
    fn blob(&self, descriptor: &Value) -> PathBuf {
        let digest = descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
        let file = self.folder.path().join("layout/blobs/sha256").join(digest);
        assert_eq!(descriptor["size"], fs::metadata(&file).unwrap().len());
        let sum = shell(self.folder.path(), &format!("sha256sum '{}'", file.display()));
        assert!(sum.starts_with(digest), "{sum}");
        file
    }

    fn blob_json(&self, descriptor: &Value) -> Value {
        serde_json::from_reader(File::open(self.blob(descriptor)).unwrap()).unwrap()
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// The image's own command, in its root folder, with the root read-only and as its own user.
    fn run(&self, url: &str, arguments: &[&str]) -> Run {
        let user = self.config["config"]["User"].as_str().unwrap();
        let entry = self.config["config"]["Entrypoint"][0].as_str().unwrap();
        let script =
            "mount --bind \"$0\" \"$0\" && mount -o remount,bind,ro \"$0\" && exec chroot --userspec=\"$1\" \"$@\"";
        let script = script.replace("\"$@\"", "\"$0\" \"$2\" \"${@:3}\"");
        let mut command = clean("unshare");
        command.args(["--mount", "bash", "-ec", &script]);
        command.arg(self.root()).args([user, entry]).args(arguments);
        // Nothing of this machine's environment either.
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("DATABASE_URL", url);
        Run::of(&mut command)
    }
}

fn is_root() -> bool {
    let is_root = fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    if !is_root {
        not_run("the image as an unprivileged user with a read-only root: only root may make that");
    }
    is_root
}

#[test]
fn the_image_has_the_binary_the_roots_of_trust_and_a_user_and_nothing_else() {
    let Some(image) = Image::new() else { return };
    assert_eq!(
        tree(&image.root()),
        [
            "etc/group",
            "etc/passwd",
            "etc/ssl/certs/ca-certificates.crt",
            "usr/bin/sessctl",
            "usr/share/doc/sessctl/CHANGELOG.md",
            "usr/share/doc/sessctl/LICENSE",
            "usr/share/doc/sessctl/README.md",
            "usr/share/doc/sessctl/THIRD-PARTY-LICENSES.txt",
        ]
    );
    let config = &image.config["config"];
    assert_eq!(config["User"], "65532:65532");
    assert_eq!(config["Labels"]["org.opencontainers.image.version"], VERSION);
    let writable = shell(&image.root(), "find . -perm /022 ! -type l");
    assert_eq!(writable, "", "others may write there");
    let roots = fs::read_to_string(image.root().join("etc/ssl/certs/ca-certificates.crt")).unwrap();
    assert!(roots.matches("BEGIN CERTIFICATE").count() > 100);
}

#[test]
fn it_runs_as_an_unprivileged_user_with_a_read_only_root() {
    let Some(image) = Image::new() else { return };
    if !is_root() {
        return;
    }
    let db = Db::fresh(Grants::Closed);
    let run = |arguments: &[&str]| image.run(&db.url(), arguments);
    assert_eq!(run(&["--version"]).ok().stdout, format!("sessctl {VERSION}\n"));
    run(&["verify"]).exits(1).says("pending");
    run(&["migrate"]).ok();
    run(&["verify", "--strict"]).ok();
    run(&["end-inactive", "--minutes", "60"]).ok();
    run(&["cleanup", "--days", "90"]).ok();
    run(&["doctor"]).ok();
    // It is refused what it may not do, and says so.
    run(&["cleanup", "--archive", "/archive"])
        .exits(3)
        .says("ead-only file system");
}

#[test]
fn its_roots_of_trust_are_those_that_the_program_reads() {
    let Some(image) = Image::new() else { return };
    if !is_root() {
        return;
    }
    let sandbox = block_on(Sandbox::start(&Options::default())).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut certificate = CertificateParams::new(vec!["localhost".into()]).unwrap();
    certificate.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let pem = certificate.self_signed(&key).unwrap().pem();
    let owner = fs::metadata(sandbox.dir()).unwrap();
    for (name, content) in [("server.crt", &pem), ("server.key", &key.serialize_pem())] {
        let file = sandbox.dir().join("data").join(name);
        fs::write(&file, content).unwrap();
        fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
        chown(&file, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
    block_on(async {
        for sql in ["alter system set ssl = on", "select pg_reload_conf()"] {
            sandbox.execute("postgres", sql).await.unwrap();
        }
    });
    let url = format!(
        "postgresql://postgres:{}@localhost:{}/postgres?sslmode=verify-full&sslrootcert=system",
        sandbox.password(),
        sandbox.port()
    );
    // Names are looked up in files that a container's runtime puts there.
    fs::write(image.root().join("etc/hosts"), "127.0.0.1 localhost\n").unwrap();
    let refused = image.run(&url, &["verify"]).exits(3);
    assert!(refused.stderr.contains("certificate"), "{refused:?}");
    let roots = image.root().join("etc/ssl/certs/ca-certificates.crt");
    let more = fs::read_to_string(&roots).unwrap() + &pem;
    fs::write(&roots, more).unwrap();
    image.run(&url, &["verify"]).exits(1).says("pending");
}

#[test]
fn the_containerfile_makes_the_same_root() {
    let Some(image) = Image::new() else { return };
    if Command::new("buildah").arg("--version").output().is_err() || !is_root() {
        return not_run("the Containerfile: there is no buildah");
    }
    let work = folder();
    let context = fs::read_dir(crate::dist()).unwrap().map(|entry| entry.unwrap().path());
    let context = context
        .into_iter()
        .find(|path| path.is_dir() && path.file_name().unwrap().to_str().unwrap().starts_with("image-"))
        .unwrap();
    let storage = work.path().join("storage");
    let run = work.path().join("run");
    let buildah = |arguments: &[&str]| {
        let mut command = clean("buildah");
        command.arg("--root").arg(&storage).arg("--runroot").arg(&run);
        command.args(["--storage-driver", "vfs"]).args(arguments);
        Run::of(&mut command).ok()
    };
    let file = Path::new(crate::ROOT).join("packaging/image/Containerfile");
    let file = file.to_str().unwrap();
    buildah(&[
        "build",
        "--isolation",
        "chroot",
        "--tag",
        "sessctl",
        "--file",
        file,
        context.to_str().unwrap(),
    ]);
    let layout = format!("oci:{}", work.path().join("layout").display());
    buildah(&["push", "sessctl", &layout]);
    let blobs = work.path().join("layout/blobs/sha256");
    fs::create_dir(work.path().join("root")).unwrap();
    for blob in fs::read_dir(&blobs).unwrap().map(|entry| entry.unwrap().path()) {
        let unpack = format!("tar -xzpf '{}' -C root 2> /dev/null || true", blob.display());
        shell(work.path(), &unpack);
    }
    assert_eq!(tree(&work.path().join("root")), tree(&image.root()));
    let ours = fs::read(image.root().join("usr/bin/sessctl")).unwrap();
    assert!(ours == fs::read(work.path().join("root/usr/bin/sessctl")).unwrap());
}

#[test]
fn buildah_reads_the_layout() {
    let Some(image) = Image::new() else { return };
    if Command::new("buildah").arg("--version").output().is_err() || !is_root() {
        return not_run("the image in a container's storage: there is no buildah");
    }
    let work = folder();
    let file = built(&format!("sessctl-{VERSION}-image-"), ".tar");
    let mut command = clean("buildah");
    command
        .arg("--root")
        .arg(work.path().join("storage"))
        .arg("--runroot")
        .arg(work.path().join("run"));
    command.args(["--storage-driver", "vfs", "pull", "--quiet"]);
    Run::of(command.arg(format!("oci-archive:{}", file.display()))).ok();
    drop(image);
}
