//! Cargo, asked to build a plugin's crate for WebAssembly: release profile, the paths of this machine
//! kept out of the module so that its digest is the same elsewhere, and the environment of a build
//! that may be around this one left out.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;
use serde::Deserialize;

use crate::failure::Failure;
use crate::output::Output;

/// What plugins are compiled for.
const TARGET: &str = "wasm32-unknown-unknown";

/// Options of every command that builds.
#[derive(Debug, Args)]
pub(super) struct BuildOptions {
    /// Where cargo keeps what it builds [default: the crate's own target folder]
    #[arg(long, value_name = "DIR")]
    target_dir: Option<PathBuf>,

    /// Take the versions of Cargo.lock as they are, and fail when it has to change
    #[arg(long)]
    locked: bool,

    /// Use no network
    #[arg(long)]
    offline: bool,
}

/// A line of cargo's report.
#[derive(Deserialize)]
struct Message {
    reason: String,
    manifest_path: Option<PathBuf>,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

/// Builds the crate in a folder and answers where its module is.
pub(super) fn build(
    folder: &Path,
    options: &BuildOptions,
    output: &Output,
) -> Result<PathBuf, Failure> {
    let manifest = folder.join("Cargo.toml");
    if !manifest.is_file() {
        let missing = format!("{} has no Cargo.toml", folder.display());
        return Err(Failure::failed(missing).with_hint("begin a plugin with `broker plugin new`"));
    }
    let manifest = manifest
        .canonicalize()
        .map_err(|error| Failure::from(error).after(manifest.display()))?;
    check_target(folder)?;
    let mut cargo = tool("CARGO", "cargo", folder);
    cargo.args(["build", "--release", "--target", TARGET]);
    cargo.args([
        "--message-format",
        "json-render-diagnostics",
        "--manifest-path",
    ]);
    cargo
        .arg(&manifest)
        .env("CARGO_ENCODED_RUSTFLAGS", path_free_flags(folder));
    if let Some(target_dir) = &options.target_dir {
        cargo.arg("--target-dir").arg(target_dir);
    }
    let flags = [
        (options.locked, "--locked"),
        (options.offline, "--offline"),
        (output.quiet, "--quiet"),
    ];
    cargo.args(
        flags
            .iter()
            .filter(|(wanted, _)| *wanted)
            .map(|(_, flag)| flag),
    );
    // With --json, standard error is for one error object.
    cargo.stderr(if output.is_json() {
        Stdio::piped()
    } else {
        Stdio::inherit()
    });
    let built = cargo.stdout(Stdio::piped()).stdin(Stdio::null()).output();
    let built = built.map_err(|error| no_tool("cargo", &error))?;
    if !built.status.success() {
        let said = String::from_utf8_lossy(&built.stderr);
        let text = match said.trim() {
            "" => "the plugin does not compile; what cargo says is above".to_owned(),
            said => format!("the plugin does not compile: {said}"),
        };
        return Err(Failure::failed(text));
    }
    module_in(&built.stdout, &manifest)
}

/// The one module that cargo says it made for this manifest.
fn module_in(report: &[u8], manifest: &Path) -> Result<PathBuf, Failure> {
    let lines = report.split(|byte| *byte == b'\n');
    let messages = lines.filter_map(|line| serde_json::from_slice::<Message>(line).ok());
    let of_this_crate = messages.filter(|message| {
        message.reason == "compiler-artifact" && message.manifest_path.as_deref() == Some(manifest)
    });
    let is_module = |file: &PathBuf| file.extension() == Some(OsStr::new("wasm"));
    let modules: Vec<PathBuf> = of_this_crate
        .flat_map(|message| message.filenames)
        .filter(is_module)
        .collect();
    match modules.as_slice() {
        [module] => Ok(module.clone()),
        [] => Err(
            Failure::failed(format!("{} makes no module", manifest.display()))
                .with_hint("its [lib] has to say crate-type = [\"cdylib\"]"),
        ),
        several => {
            let list: Vec<_> = several
                .iter()
                .map(|path| path.display().to_string())
                .collect();
            Err(Failure::failed(format!(
                "the crate makes several modules: {}",
                list.join(", ")
            )))
        }
    }
}

/// Whether the compiler that the folder chooses has the standard library for plugins.
fn check_target(folder: &Path) -> Result<(), Failure> {
    let mut rustc = tool("RUSTC", "rustc", folder);
    rustc.args(["--print", "target-libdir", "--target", TARGET]);
    let output = rustc.output().map_err(|error| no_tool("rustc", &error))?;
    let libraries = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    if std::fs::read_dir(libraries).is_ok_and(|mut entries| entries.next().is_some()) {
        return Ok(());
    }
    Err(
        Failure::failed(format!("the Rust target {TARGET} is not installed"))
            .with_hint(format!("run `rustup target add {TARGET}`")),
    )
}

fn no_tool(name: &str, error: &std::io::Error) -> Failure {
    Failure::failed(format!("{name} could not be started: {error}"))
        .with_hint("building needs Rust: see https://rustup.rs")
}

/// A tool of the toolchain that the folder chooses.
fn tool(variable: &str, name: &str, folder: &Path) -> Command {
    // rustup sets CARGO and RUSTC for what cargo starts, and there they are right.
    let program = env::var_os(variable).unwrap_or_else(|| name.into());
    let mut command = Command::new(program);
    command.current_dir(folder);
    for (name, _) in env::vars_os().filter(|(name, _)| is_of_another_build(name)) {
        command.env_remove(name);
    }
    command
}

/// What a cargo around this process set for its own build. The user's settings for the network,
/// registries, the toolchain and the target folder stay.
fn is_of_another_build(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    let kept = [
        "CARGO_HOME",
        "CARGO_NET_",
        "CARGO_HTTP_",
        "CARGO_REGISTR",
        "CARGO_SOURCE_",
        "CARGO_TERM_",
        "CARGO_TARGET_DIR",
        "CARGO_BUILD_TARGET_DIR",
        "CARGO_BUILD_JOBS",
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

/// Compiler flags that keep the paths of this machine out of the module.
fn path_free_flags(folder: &Path) -> OsString {
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
    let sysroot = tool("RUSTC", "rustc", folder)
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
    if let Ok(folder) = folder.canonicalize() {
        remap(&folder, "/plugin");
    }
    flags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_settings_stay_and_another_builds_go() {
        for kept in [
            "PATH",
            "CARGO_HOME",
            "CARGO_TARGET_DIR",
            "CARGO_NET_OFFLINE",
            "RUSTUP_TOOLCHAIN",
        ] {
            assert!(!is_of_another_build(OsStr::new(kept)), "{kept}");
        }
        for gone in [
            "CARGO_MANIFEST_DIR",
            "CARGO_ENCODED_RUSTFLAGS",
            "RUSTFLAGS",
            "OUT_DIR",
            "RUSTC_WRAPPER",
        ] {
            assert!(is_of_another_build(OsStr::new(gone)), "{gone}");
        }
    }

    #[test]
    fn only_the_module_of_the_crate_itself_counts() {
        let line = |manifest: &str, files: &str| {
            format!(
                "{{\"reason\":\"compiler-artifact\",\"manifest_path\":\"{manifest}\",\"filenames\":[{files}]}}\n"
            )
        };
        let report = [
            "{\"reason\":\"build-script-executed\"}\n".to_owned(),
            line("/dep/Cargo.toml", "\"/t/dep.wasm\""),
            line("/me/Cargo.toml", "\"/t/me.wasm\",\"/t/libme.rlib\""),
        ];
        let found = |report: &str| module_in(report.as_bytes(), Path::new("/me/Cargo.toml"));
        assert_eq!(found(&report.concat()).unwrap(), Path::new("/t/me.wasm"));
        assert!(found(&report[..2].concat()).is_err());
    }
}
