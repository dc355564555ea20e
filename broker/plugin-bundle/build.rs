//! Compiles every crate below `plugins/` to WebAssembly with a nested cargo and writes the table that
//! `src/lib.rs` includes.
//!
//! The nested cargo has its own target directory and none of the outer one's settings (flags, wrappers
//! such as clippy's, profile overrides). A missing wasm target is installed through rustup.

use std::env;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, exit};

use sha2::{Digest, Sha256};

const TARGET: &str = "wasm32-unknown-unknown";

fn main() {
    let root = root();
    let plugins = plugins(&root);
    let watched = [
        "plugin-sdk/src",
        "plugin-sdk/wit",
        "plugin-sdk/Cargo.toml",
        "Cargo.toml",
        "Cargo.lock",
    ];
    // A new plugin is a new package, which shows in Cargo.lock.
    let folders = plugins.iter().map(|plugin| format!("plugins/{plugin}"));
    for watched in watched.map(str::to_owned).into_iter().chain(folders) {
        println!("cargo::rerun-if-changed={}", root.join(watched).display());
    }
    println!("cargo::rerun-if-changed=build.rs");

    let out = PathBuf::from(variable("OUT_DIR"));
    ensure_target();
    compile(&root, &out, &plugins);
    write_table(&out, &plugins);
}

/// The folders below `plugins/`, which are the plugins' names; each crate is called `plugin-{name}`.
fn plugins(root: &Path) -> Vec<String> {
    let entries = fs::read_dir(root.join("plugins"));
    let entries =
        entries.unwrap_or_else(|error| stop(&format!("plugins/ cannot be read: {error}")));
    let mut names: Vec<String> = entries
        .flatten()
        .filter(|entry| entry.path().join("Cargo.toml").is_file())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

fn ensure_target() {
    if target_is_installed() {
        return;
    }
    let add = Command::new("rustup")
        .args(["target", "add", TARGET])
        .status();
    if !add.is_ok_and(|status| status.success()) || !target_is_installed() {
        stop(&format!(
            "the shipped plugins need the Rust target {TARGET}: run `rustup target add {TARGET}`, \
             or install it with the package manager that your Rust came from"
        ));
    }
    println!("cargo::warning=installed the Rust target {TARGET} for the shipped plugins");
}

fn target_is_installed() -> bool {
    let rustc = Command::new(variable("RUSTC"))
        .args(["--print", "target-libdir", "--target", TARGET])
        .output();
    let Ok(output) = rustc else {
        return false;
    };
    let libraries = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    fs::read_dir(libraries).is_ok_and(|mut entries| entries.next().is_some())
}

fn compile(root: &Path, out: &Path, plugins: &[String]) {
    let mut cargo = Command::new(variable("CARGO"));
    cargo.args([
        "build",
        "--locked",
        "--profile",
        "plugin",
        "--target",
        TARGET,
    ]);
    cargo.arg("--manifest-path").arg(root.join("Cargo.toml"));
    cargo.arg("--target-dir").arg(out.join("target"));
    for plugin in plugins {
        cargo.args(["--package", &format!("plugin-{plugin}")]);
    }
    for (name, _) in env::vars_os().filter(|(name, _)| is_of_the_outer_build(name)) {
        cargo.env_remove(name);
    }
    cargo.env("CARGO_ENCODED_RUSTFLAGS", path_free_flags(root));
    match cargo.status() {
        Ok(status) if status.success() => {}
        Ok(_) => stop("the shipped plugins do not compile; the errors are above"),
        Err(error) => stop(&format!(
            "cargo could not be started for the plugins: {error}"
        )),
    }
}

/// What the outer cargo sets for this build alone. The user's settings for the network, registries
/// and the toolchain stay.
fn is_of_the_outer_build(name: &OsString) -> bool {
    let name = name.to_string_lossy();
    let kept = [
        "CARGO_HOME",
        "CARGO_NET_",
        "CARGO_HTTP_",
        "CARGO_REGISTR",
        "CARGO_SOURCE_",
    ];
    let set_by_cargo = [
        "CARGO",
        "RUSTC",
        "RUSTDOC",
        "RUSTFLAGS",
        "DEP_",
        "MAKEFLAGS",
        "MFLAGS",
    ];
    let per_build = [
        "OUT_DIR",
        "TARGET",
        "HOST",
        "NUM_JOBS",
        "OPT_LEVEL",
        "PROFILE",
        "DEBUG",
    ];
    !kept.iter().any(|prefix| name.starts_with(prefix))
        && (set_by_cargo.iter().any(|prefix| name.starts_with(prefix))
            || per_build.contains(&name.as_ref()))
}

/// Compiler flags that keep the paths of this machine out of the modules, so that their digests do
/// not depend on where the repository lies.
fn path_free_flags(root: &Path) -> OsString {
    let mut flags = OsString::new();
    let mut remap = |from: &Path, to: &str| {
        if !flags.is_empty() {
            flags.push("\u{1f}");
        }
        flags.push("--remap-path-prefix=");
        flags.push(from);
        flags.push("=");
        flags.push(to);
    };
    let sysroot = Command::new(variable("RUSTC"))
        .args(["--print", "sysroot"])
        .output();
    if let Ok(output) = sysroot {
        let sysroot = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
        remap(&sysroot.join("lib/rustlib/src/rust"), "/rust");
    }
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    if let Some(home) = home.or_else(|| env::home_dir().map(|home| home.join(".cargo"))) {
        remap(&home, "/cargo");
    }
    remap(root, "/broker");
    flags
}

fn write_table(out: &Path, plugins: &[String]) {
    let mut table = String::from("static MODULES: &[BundledModule] = &[\n");
    for plugin in plugins {
        let file = format!("plugin_{}.wasm", plugin.replace('-', "_"));
        let path = out.join("target").join(TARGET).join("plugin").join(file);
        let module =
            fs::read(&path).unwrap_or_else(|error| stop(&format!("{}: {error}", path.display())));
        let digest = hexadecimal(&Sha256::digest(module));
        let bytes = path.to_string_lossy().into_owned();
        let _ = writeln!(
            table,
            "    BundledModule {{ name: {plugin:?}, digest: {digest:?}, bytes: include_bytes!({bytes:?}) }},"
        );
    }
    table.push_str("];\n");
    if let Err(error) = fs::write(out.join("modules.rs"), table) {
        stop(&format!("{}: {error}", out.display()));
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn root() -> PathBuf {
    let here = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    match here.ancestors().nth(2) {
        Some(root) => root.to_owned(),
        None => stop("this crate is not inside the repository that has the plugins"),
    }
}

fn variable(name: &str) -> OsString {
    env::var_os(name).unwrap_or_else(|| stop(&format!("cargo did not set {name}")))
}

fn stop(message: &str) -> ! {
    println!("cargo::error={message}");
    exit(1);
}
