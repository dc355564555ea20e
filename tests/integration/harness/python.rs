//! Python for the tests of the Python client. A missing interpreter is a failure that says what to do. A
//! missing msgpack is fetched into a folder of the build, nothing is installed on the machine; where that
//! does not work it is a failure too: no test of the client is skipped.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use broker_tests::repository;

/// A folder to look for modules in, if the machine's Python has no msgpack of its own; or what to do.
static FETCHED: LazyLock<Result<Option<PathBuf>, &str>> = LazyLock::new(|| {
    if !runs(Command::new("python3").arg("--version")) {
        return Err("python3 is missing: install it, as with `apt-get install python3`");
    }
    if imports_msgpack(None) {
        return Ok(None);
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python");
    if !imports_msgpack(Some(&folder)) {
        let pip = [
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--target",
        ];
        runs(
            Command::new("python3")
                .args(pip)
                .arg(&folder)
                .arg("msgpack"),
        );
    }
    match imports_msgpack(Some(&folder)) {
        true => Ok(Some(folder)),
        false => Err("python3 has no msgpack: run `python3 -m pip install msgpack`"),
    }
});

fn runs(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

fn imports_msgpack(folder: Option<&Path>) -> bool {
    let mut python = Command::new("python3");
    if let Some(folder) = folder {
        python.env("PYTHONPATH", folder);
    }
    runs(python.args(["-c", "import msgpack"]))
}

/// Python with msgpack and the client module of `examples/python`.
pub(crate) fn python() -> Command {
    let mut path = repository().join("examples/python").into_os_string();
    match &*FETCHED {
        Ok(None) => {}
        Ok(Some(folder)) => {
            path.push(":");
            path.push(folder);
        }
        Err(what_to_do) => panic!("{what_to_do}"),
    }
    let mut python = Command::new("python3");
    python
        .env("PYTHONPATH", path)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    python
}

/// Runs a command to its end and answers its standard output; fails unless it ends well.
#[track_caller]
pub(crate) fn output_of(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{command:?}: {}\n{said}",
        output.status
    );
    String::from_utf8(output.stdout).expect("it prints text")
}
